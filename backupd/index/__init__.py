"""Index objects: sorted tables that tell where chunks lie (docs/format.md, Index objects). Pure: bytes in and out."""
