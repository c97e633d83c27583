"""Pure decisions: names, times, filters, what is left out, which snapshot."""
