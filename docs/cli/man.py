"""Man pages, in man(7)'s macros, from the table of cli.toml."""

import re

BOLD = re.compile(r"\*([^*]+)\*")
ITALIC = re.compile(r"\{([^{}]+)\}")


def inline(text):
    """One run of text with cli.toml's marks, as troff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = ITALIC.sub(r"\\fI\1\\fR", BOLD.sub(r"\\fB\1\\fR", text))
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def paragraphs(text):
    lines = []
    for block in text.strip("\n").split("\n\n"):
        if block.startswith("    "):
            literal = "\n".join(line[4:] for line in block.splitlines()).replace("\\", "\\e").replace("-", "\\-")
            lines += [".PP", ".in +4n", ".nf", literal, ".fi", ".in"]
        else:
            lines += [".PP", inline(block.strip())]
    return lines


def option(entry):
    flags = ", ".join(f"*{flag}*" for flag in entry["flags"])
    if "arg" in entry:
        flags += f"[={{{entry['arg']}}}]" if entry.get("optional_arg") else f" {{{entry['arg']}}}"
    return [".TP", inline(flags), inline(entry["help"].strip())]


def section(title, lines):
    return [f".SH {title}", *lines] if lines else []


def statuses(cli, verb):
    table = {}
    for name in verb["status"]:
        table.update(cli["status"][name])
    lines = []
    # Numbers in order; 0-255 and 128+N stand for the command's own and come where they begin.
    for status in sorted(table, key=lambda key: (int(re.match(r"\d+", key)[0]), key)):
        lines += [".TP", inline(f"*{status}*"), inline(table[status])]
    return lines


def named(entries):
    lines = []
    for entry in entries:
        lines += [".TP", inline(f"*{entry['name']}*"), inline(entry["help"])]
    return lines


def examples(verb):
    lines = []
    for command, text in verb["examples"]:
        lines += [".TP", "\\fB" + command.replace("\\", "\\e").replace("-", "\\-") + "\\fR", inline(text)]
    return lines


def see_also(names):
    # The comma goes to the roman part of each line but the last.
    lines = [f".BR {name.replace('-', chr(92) + '-')} (1)," for name in names]
    return lines[:-1] + [lines[-1].rstrip(",")]


def header(title, version, name, summary):
    return [f'.\\" Made of docs/cli/cli.toml; change that.', f'.TH {title.upper()} 1 "" "Beam {version}" "Beam"', ".SH NAME",
            f"{inline(name)} \\- {inline(summary)}"]


def program_page(cli, version):
    program = cli["program"]
    verbs = []
    for verb in cli["verb"]:
        verbs += [".TP", f"\\fBbeam\\-{verb['name']}\\fR(1)", inline(verb["summary"][0].upper() + verb["summary"][1:] + ".")]
    everywhere = {"status": ["other", "obstacle", "damaged"]}
    lines = header("beam", version, "beam", program["summary"])
    lines += section("SYNOPSIS", [inline("*beam* [{OPTION}]... {VERB} [{ARGUMENT}]...")])
    lines += section("DESCRIPTION", paragraphs(program["description"])[1:])
    lines += section("VERBS", verbs)
    options = program["option"] + program["only_before_verb"]
    lines += section("OPTIONS", [line for entry in options for line in option(entry)] +
                     [".PP", "All but the last can stand after the verb, too."])
    lines += section("ENVIRONMENT", named(program["environment"]))
    lines += section("FILES", named(program["file"]))
    lines += section("EXIT STATUS", [
        inline("*run*, *exec*, *wait* and *thaw* exit with the command's status, or say why there is none:"),
        *statuses(cli, {"status": ["command"]}), ".PP", "Every other verb:", *statuses(cli, everywhere)])
    lines += section("SEE ALSO", see_also([f"beam-{verb['name']}" for verb in cli["verb"]]))
    return "\n".join(lines) + "\n"


def verb_page(cli, verb, version):
    name = f"beam-{verb['name']}"
    lines = header(name, version, name, verb["summary"])
    lines += section("SYNOPSIS", [inline(f"*beam {verb['name']}* {verb['synopsis']}".rstrip())])
    lines += section("DESCRIPTION", paragraphs(verb["description"])[1:])
    lines += section("OPTIONS", [line for entry in verb["option"] for line in option(entry)] +
                     [".PP", inline("*-q*, *-v*, *--log-level* and *--help* are those of"), ".BR beam (1)."])
    lines += section("EXIT STATUS", statuses(cli, verb))
    lines += section("EXAMPLES", examples(verb))
    lines += section("SEE ALSO", see_also(["beam"] + verb.get("see", [])))
    return "\n".join(lines) + "\n"


def pages(cli, version):
    yield "beam", program_page(cli, version)
    for verb in cli["verb"]:
        yield f"beam-{verb['name']}", verb_page(cli, verb, version)
