"""Completions of bash, zsh and fish from the table of cli.toml.

Names come from `beam ps --json` and `beam ws --json`, images are directories and what is in $BEAM_HOME/images. Each shell's file stands alone:
nothing but the shell's own tools is needed to complete.
"""

SIGNALS = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT STOP TSTP TTIN TTOU WINCH".split()
NOTE = "Made of docs/cli/cli.toml; change that."

# The names in the output of `beam ps --json`: in a quoted command the quotes of "name" would be escaped, so never match.
NAMES_FILTER = """grep -o '"name": *"[^"]*"' | cut -d '"' -f 4"""


# What `beam lab` does.
LAB_VERBS = "up down ls exec"


def flags(entries):
    return [flag for entry in entries for flag in entry["flags"]]


def with_argument(entries):
    """Options that take the next word."""
    return [entry for entry in entries if "arg" in entry and not entry.get("optional_arg")]


def value_kind(entry):
    return "choices" if "choices" in entry else entry.get("complete", "none")


def bash_value(entry):
    return {"choices": f"compgen -W '{' '.join(entry.get('choices', []))}' -- \"$1\"",
            "signal": f"compgen -W '{' '.join(SIGNALS)}' -- \"$1\"",
            "dir": 'compgen -d -- "$1"',
            "file": 'compgen -f -- "$1"',
            "none": ":"}[value_kind(entry)]


def bash(cli):
    verbs = " ".join(verb["name"] for verb in cli["verb"])
    everywhere = cli["program"]["option"]
    tables, values = [], []
    for verb in cli["verb"]:
        taking = with_argument(verb["option"] + everywhere)
        tables.append(f"""    {verb['name']})
      options='{' '.join(flags(verb['option'] + everywhere))}'
      taking='{' '.join(flags(taking))}'
      operands=({' '.join(verb['takes'])})
      ;;""")
        for entry in with_argument(verb["option"]):
            values.append((f"{'|'.join(verb['name'] + ' ' + flag for flag in entry['flags'])}", bash_value(entry)))
    for entry in with_argument(everywhere):
        values.append(("|".join(f"*' {flag}'" for flag in entry["flags"]), bash_value(entry)))
    cases = "\n".join(f"    {pattern if pattern.startswith('*') else quoted(pattern)}) {action} ;;"
                      for pattern, action in values)
    newline = "\n"
    return f"""# bash completion for beam. {NOTE}

_beam_names() {{
  "${{COMP_WORDS[0]}}" ps "$@" --json 2>/dev/null | {NAMES_FILTER}
}}

_beam_workstations() {{
  "${{COMP_WORDS[0]}}" ws --json 2>/dev/null | {NAMES_FILTER}
}}

_beam_images() {{
  local images=${{BEAM_HOME:-${{XDG_STATE_HOME:-$HOME/.local/state}}/beam}}/images
  compgen -d -- "$1"
  compgen -d -- "$images/$1"
}}

# _beam_value WORD VERB OPTION: what can follow OPTION.
_beam_value() {{
  case "$2 $3" in
{cases}
  esac
}}

_beam() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} verb='' at=1 operand=0 options='' taking='' word=''
  local -a operands=()
  COMPREPLY=()
  while ((at < COMP_CWORD)); do
    word=${{COMP_WORDS[at]}}
    if [[ $word == --log-level ]]; then
      at=$((at + 1))
    elif [[ $word != -* ]]; then
      verb=$word
      break
    fi
    at=$((at + 1))
  done
  if ((at > COMP_CWORD)); then
    mapfile -t COMPREPLY < <(_beam_value "$cur" '' "$word")
    return
  fi
  case $verb in
    '')
      mapfile -t COMPREPLY < <(compgen -W '{verbs} {' '.join(flags(everywhere))}' -- "$cur")
      return
      ;;
{newline.join(tables)}
    *) return ;;
  esac

  # Walk to the cursor: options and their arguments aside, each word is the next operand.
  local ended=no
  for ((at = at + 1; at < COMP_CWORD; at++)); do
    word=${{COMP_WORDS[at]}}
    if [[ $ended == no && $word == -- ]]; then
      ended=yes
    elif [[ $ended == no && $word == -* ]]; then
      if [[ " $taking " == *" $word "* ]]; then
        at=$((at + 1))
        if ((at == COMP_CWORD)); then
          mapfile -t COMPREPLY < <(_beam_value "$cur" "$verb" "$word")
          return
        fi
      fi
    elif [[ ${{operands[operand]-}} == command ]]; then
      break
    elif [[ ${{operands[operand + 1]-}} != more ]]; then
      operand=$((operand + 1))
    fi
  done
  if [[ ${{operands[operand]-}} == command && ( $at -lt $COMP_CWORD || $cur != -* || $ended == yes ) ]]; then
    if declare -F _command_offset >/dev/null; then
      _command_offset "$at"
    elif ((at == COMP_CWORD)); then
      mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
    return
  fi
  if [[ $ended == no && $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    return
  fi
  case ${{operands[operand]-}} in
    name) mapfile -t COMPREPLY < <(compgen -W "$(_beam_names)" -- "$cur") ;;
    any-name) mapfile -t COMPREPLY < <(compgen -W "$(_beam_names -a)" -- "$cur") ;;
    image) mapfile -t COMPREPLY < <(_beam_images "$cur") ;;
    workstation) mapfile -t COMPREPLY < <(compgen -W "$(_beam_workstations)" -- "$cur") ;;
    lab-verb) mapfile -t COMPREPLY < <(compgen -W '{LAB_VERBS}' -- "$cur") ;;
  esac
}}

complete -F _beam beam
"""


def quoted(pattern):
    return "|".join(f"'{part}'" for part in pattern.split("|"))


def zsh_text(text):
    """Help in an _arguments specification: one line, with what is special there escaped."""
    text = " ".join(text.split()).replace("*", "").replace("{", "").replace("}", "").replace("\\", "")
    for char in "[]:":
        text = text.replace(char, "\\" + char)
    return text.replace("'", "'\\''")


def zsh_option(entry):
    repeated = "*" if entry.get("repeat") else ""
    names = entry["flags"]
    action = {"choices": f"({' '.join(entry.get('choices', []))})", "signal": "_signals", "dir": "_files -/",
              "file": "_files", "none": " "}[value_kind(entry)]
    value = ""
    if "arg" in entry:
        value = f":{zsh_text(entry['arg'])}:{action}"
    optional = "=-:" if entry.get("optional_arg") else ""
    lines = []
    for name in names:
        excluded = "" if repeated else f"({' '.join(names)})"
        lines.append(f"'{excluded}{repeated}{name}{optional}[{zsh_text(entry['help'])}]{value if not optional else ':' + value[1:]}'")
    return lines


def zsh_operands(takes):
    lines = []
    for number, kind in enumerate(takes, 1):
        if kind == "command":
            lines += [f"'(-){number}:command: _command_names -e'", "'*::argument: _normal'"]
        elif kind == "more":
            lines[-1] = "'*" + lines[-1][lines[-1].index(":"):]
        else:
            action = {"name": "_beam_living", "any-name": "_beam_all", "image": "_beam_images",
                      "workstation": "_beam_workstations", "lab-verb": f"({LAB_VERBS})"}[kind]
            label = {"image": "image", "workstation": "workstation", "lab-verb": "verb"}.get(kind, "sandbox")
            lines.append(f"'{number}:{label}:{action}'")
    return lines


def zsh(cli):
    verbs = "\n".join(f"    '{verb['name']}:{zsh_text(verb['summary'])}'" for verb in cli["verb"])
    everywhere = [line for entry in cli["program"]["option"] for line in zsh_option(entry)]
    join = " \\\n        ".join
    cases = "\n".join(
        f"    {verb['name']})\n      _arguments -S -s \\\n        "
        + join([line for entry in verb["option"] for line in zsh_option(entry)] + everywhere + zsh_operands(verb["takes"]))
        + "\n      ;;"
        for verb in cli["verb"])
    return f"""#compdef beam
# zsh completion for beam. {NOTE}

# _beam_names OPTIONS-OF-PS COMPADD-OPTION...
_beam_names() {{
  local -a names
  names=(${{(f)"$(_call_program sandboxes beam ps ${{=1}} --json 2>/dev/null | {NAMES_FILTER})"}})
  shift
  compadd "$@" -a names
}}

_beam_living() {{
  _beam_names '' "$@"
}}

_beam_all() {{
  _beam_names -a "$@"
}}

_beam_workstations() {{
  local -a names
  names=(${{(f)"$(_call_program workstations beam ws --json 2>/dev/null | {NAMES_FILTER})"}})
  compadd "$@" -a names
}}

_beam_images() {{
  local images=${{BEAM_HOME:-${{XDG_STATE_HOME:-$HOME/.local/state}}/beam}}/images
  _alternative 'directories:image:_files -/' "images:frozen sandbox:compadd -U - ${{(q)images}}/${{PREFIX}}*(N/)"
}}

_beam() {{
  local context state line curcontext="$curcontext"
  typeset -A opt_args
  local -a verbs
  verbs=(
{verbs}
  )

  _arguments -C -S \\
        {join(everywhere)} \\
        '1:verb:->verb' \\
        '*::argument:->arguments' && return
  if [[ $state == verb ]]; then
    _describe verb verbs
    return
  fi
  curcontext="${{curcontext%:*:*}}:beam-$words[1]:"
  case $words[1] in
{cases}
  esac
}}

_beam "$@"
"""


def fish_text(text):
    text = " ".join(text.split()).replace("*", "").replace("{", "").replace("}", "")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def fish_option(entry, condition):
    words = ["complete -c beam", f"-n '{condition}'"]
    words += [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in entry["flags"]]
    if "arg" in entry and not entry.get("optional_arg"):
        words.append({"choices": f"-x -a '{' '.join(entry.get('choices', []))}'", "signal": f"-x -a '{' '.join(SIGNALS)}'",
                      "dir": "-x -a '(__fish_complete_directories)'", "file": "-r -F", "none": "-x"}[value_kind(entry)])
    return " ".join(words + [f"-d '{fish_text(entry['help']).split('. ')[0]}'"])


# In fish, __fish_complete_subcommand takes leading --words for options of its own; the "" before them ends those.
def fish(cli):
    lines = []
    for verb in cli["verb"]:
        name = verb["name"]
        lines.append(f"complete -c beam -n 'test -z \"$(__beam_verb)\"' -a {name} -d '{fish_text(verb['summary'])}'")
        options = with_argument(verb["option"] + cli["program"]["option"])
        taking = " ".join(flags(options))
        for number, kind in enumerate(verb["takes"]):
            at = f"test \"$(__beam_verb)\" = {name}; and "
            where = f"test (__beam_operands {taking}) -{'ge' if 'more' in verb['takes'] else 'eq'} {number}"
            if kind == "command":
                lines.append(f"complete -c beam -n '{at}test (__beam_operands {taking}) -ge {number}' "
                             f"-x -a '(__fish_complete_subcommand --fcs-skip={number + 2} \"\" {taking})'")
            elif kind != "more":
                values = {"name": "(__beam_names)", "any-name": "(__beam_names -a)", "image": "(__beam_images)",
                          "workstation": "(__beam_workstations)", "lab-verb": LAB_VERBS}[kind]
                lines.append(f"complete -c beam -n '{at}{where}' -x -a '{values}'")
        for entry in verb["option"]:
            lines.append(fish_option(entry, f'test "$(__beam_verb)" = {name}'))
    for entry in cli["program"]["option"]:
        lines.append(fish_option(entry, "true"))
    body = "\n".join(lines)
    return f"""# fish completion for beam. {NOTE}

# The verb on the command line, if there is one before the cursor.
function __beam_verb
    set -l skip no
    for word in (commandline -opc)[2..]
        if test $skip = yes
            set skip no
        else if test $word = --log-level
            set skip yes
        else if not string match -q -- '-*' $word
            echo $word
            return
        end
    end
end

# __beam_operands OPTION...: how many operands follow the verb before the cursor, where OPTIONs take the next word.
function __beam_operands
    set -l seen -1
    set -l skip no
    for word in (commandline -opc)[2..]
        if test $skip = yes
            set skip no
        else if contains -- $word $argv --log-level
            set skip yes
        else if not string match -q -- '-*' $word
            set seen (math $seen + 1)
        end
    end
    echo $seen
end

function __beam_names
    beam ps $argv --json 2>/dev/null | {NAMES_FILTER}
end

function __beam_workstations
    beam ws --json 2>/dev/null | {NAMES_FILTER}
end

function __beam_images
    set -l home $BEAM_HOME
    test -n "$home"; or set home (test -n "$XDG_STATE_HOME"; and echo $XDG_STATE_HOME; or echo ~/.local/state)/beam
    __fish_complete_directories (commandline -ct)
    for image in $home/images/*/
        echo $image
    end
end

complete -c beam -f
{body}
"""
