"""What a repository keeps for its life: settings that it could not follow are refused, whoever asks."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.daemon import running_daemon


def test_encryption_and_sizes_of_blocks_are_fixed_by_the_first_run(tmp_path: Path) -> None:
    """Accepted without effect, somebody would trust in a cipher, or in encryption, that his backup never had."""
    with running_daemon(tmp_path / "d") as daemon:
        source = daemon.home / "src"
        source.mkdir()
        (source / "f").write_text("x")
        daemon.good("set", "create", "home", "--source", source, "--to", daemon.home / "store")
        wanted = ("--encryption", "custom", "--cipher", "chacha20-poly1305", "--block-size", "64M")
        assert set(daemon.good("set", "edit", "home", *wanted)["diff"]) == {"encryption", "cipher", "block_size"}
        daemon.good("backup", "home")
        assert daemon.good("info", "--from", daemon.home / "store")["repository"]["cipher"] == "chacha20-poly1305"
        refused = {
            "encryption": ("--encryption", "none", "--cipher", ""),
            "cipher": ("--cipher", "aes-128-gcm"),
            "block_size": ("--block-size", ""),
        }
        before = daemon.good("set", "show", "home")["set"]
        for name, words in refused.items():
            for more in ((), ("--dry-run",)):
                error = daemon.json("set", "edit", "home", *words, *more)
                assert (error["exit"], error["error"]["code"]) == (17, "conflict")
                assert f"home: {name} is " in error["error"]["message"]
                assert ("--migrate" in error["error"]["hint"]) == (name != "block_size")
        assert daemon.good("set", "edit", "home", "--block-size", "65536K", "--compression", "best")["changed"]
        daemon.good("set", "edit", "home", "--block-size", "64M", "--compression", "fast")
        assert daemon.good("set", "show", "home")["set"] == before

        text = daemon.good("config", "export", "home")["config"]
        text["sets"][0]["cipher"] = "aes-256-gcm"
        document = json.dumps(text, indent=1)
        line = 1 + document[: document.index('"cipher"')].count("\n")
        by_command = daemon.json("config", "apply", "-f", "-", stdin=document.encode())
        assert (by_command["exit"], by_command["error"]["code"]) == (17, "conflict")
        assert f"line {line}: home: cipher is chacha20-poly1305" in by_command["error"]["message"]
        kept = daemon.config / "conf.d" / "home.yaml"
        kept.parent.mkdir()
        kept.write_text(document)
        assert daemon.json("config", "reload")["exit"] == 17
        daemon.restart()
        assert daemon.good("set", "show", "home")["set"] == before
        [warning] = daemon.json("config", "show")["warnings"]
        assert f"home.yaml, line {line}: home: cipher" in warning
        kept.write_text(document.replace("aes-256-gcm", "chacha20-poly1305"))
        daemon.good("config", "reload")
        assert daemon.good("set", "show", "home")["set"]["kept_in"] == str(kept)
