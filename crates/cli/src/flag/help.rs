//! The list of flags in a help text, laid out and wrapped as pflag does.

use super::Options;

/// One flag without its binding: what help, completion and man pages need.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) usage: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) default: Option<String>,
    pub(crate) hidden: bool,
}

/// The flags of `O`, sorted by name.
pub(crate) fn describe<O: Options>() -> Vec<Info> {
    let mut options = O::default();
    let mut flags: Vec<Info> = O::FLAGS
        .iter()
        .map(|flag| {
            let value = (flag.slot)(&mut options);
            Info {
                long: flag.long,
                short: flag.short,
                usage: flag.usage,
                kind: value.kind(),
                default: value.default_text(),
                hidden: flag.hidden,
            }
        })
        .collect();
    flags.sort_by_key(|flag| flag.long);
    flags
}

/// The lines of the visible flags, wrapped to `columns`.
pub(crate) fn usages(flags: &[Info], columns: usize) -> String {
    let visible: Vec<(String, &Info)> =
        flags.iter().filter(|flag| !flag.hidden).map(|flag| (left_side(flag), flag)).collect();
    let width = visible.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (left, flag) in visible {
        let mut usage = flag.usage.to_owned();
        if let Some(default) = &flag.default {
            usage.push_str(&format!(" (default {default})"));
        }
        out.push_str(&format!("{left:width$}   {}\n", wrap(width + 3, columns, &usage)));
    }
    out
}

fn left_side(flag: &Info) -> String {
    let mut left = match flag.short {
        Some(short) => format!("  -{short}, --{}", flag.long),
        None => format!("      --{}", flag.long),
    };
    if !flag.kind.is_empty() {
        left.push(' ');
        left.push_str(flag.kind);
    }
    left
}

/// How far a line may run over its width to keep a short last word.
const SLOP: usize = 5;
/// Below this width wrapping makes no sense.
const NARROWEST: usize = 24;
/// Where the text is indented when it does not fit beside the flag.
const BLOCK_INDENT: usize = 16;

fn wrap(indent: usize, columns: usize, text: &str) -> String {
    let hang = |indent: usize| format!("\n{}", " ".repeat(indent));
    if columns == 0 {
        return text.replace('\n', &hang(indent));
    }
    let (mut indent, mut width, mut out) = (indent, columns.saturating_sub(indent), String::new());
    if width < NARROWEST {
        indent = BLOCK_INDENT;
        width = columns.saturating_sub(indent);
        out.push_str(&hang(indent));
    }
    if width < NARROWEST {
        return text.replace('\n', &out);
    }
    let mut rest = text;
    let mut first = true;
    while first || !rest.is_empty() {
        let (line, tail) = split_line(width - SLOP, rest);
        if !first {
            out.push_str(&hang(indent));
        }
        out.push_str(&line.replace('\n', &hang(indent)));
        (rest, first) = (tail, false);
    }
    out
}

/// Takes one line of at most `width` bytes off `text`, at a blank or at an explicit line end.
fn split_line(width: usize, text: &str) -> (&str, &str) {
    if width + SLOP > text.len() {
        return (text, "");
    }
    let mut end = width;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    match head.rfind([' ', '\t', '\n']) {
        None | Some(0) => (text, ""),
        Some(blank) => match head.rfind('\n') {
            Some(line) if line > 0 && line < blank => (&text[..line], &text[line + 1..]),
            _ => (&text[..blank], &text[blank + 1..]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(long: &'static str, short: Option<char>, kind: &'static str, usage: &'static str) -> Info {
        Info { long, short, usage, kind, default: None, hidden: false }
    }

    #[test]
    fn usages_align_and_wrap_like_pflag() {
        let flags = [
            info("all", Some('a'), "", "Show all containers"),
            info(
                "latest",
                Some('l'),
                "",
                "Show the container created last, whatever its state, and no other one",
            ),
            Info { default: Some("-1".into()), ..info("last", Some('n'), "int", "Show n containers") },
        ];
        insta::assert_snapshot!(usages(&flags, 60), @r"
          -a, --all        Show all containers
          -l, --latest     Show the container created last,
                           whatever its state, and no other one
          -n, --last int   Show n containers (default -1)
        ");
    }

    #[test]
    fn narrow_terminal_puts_text_on_its_own_lines() {
        let flags = [info("device-cgroup-rule", None, "list", "Add a rule to the list of the devices")];
        let lead = format!(
            "      --device-cgroup-rule list   \n{0}Add a rule to the list of\n{0}the devices\n",
            " ".repeat(16)
        );
        assert_eq!(usages(&flags, 50), lead);
    }
}
