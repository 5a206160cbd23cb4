#!/usr/bin/python3
"""Makes man pages and completions of cli.toml: usage: gen.py VERSION OUTPUT-FOLDER"""

import os
import sys
import tomllib

import completions
import man


def load():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli.toml"), "rb") as file:
        cli = tomllib.load(file)
    for verb in cli["verb"]:
        verb.setdefault("option", [])
    return cli


def main():
    version, output = sys.argv[1:]
    cli = load()
    files = {f"man/{name}.1": text for name, text in man.pages(cli, version)}
    files["completions/beam.bash"] = completions.bash(cli)
    files["completions/_beam"] = completions.zsh(cli)
    files["completions/beam.fish"] = completions.fish(cli)
    for name, text in files.items():
        path = os.path.join(output, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
