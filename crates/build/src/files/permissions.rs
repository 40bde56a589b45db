//! Permissions of `--chmod`.

use dockerfile::plan::Mode;

const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const USER: u32 = 0o700;
const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;

/// What is being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Folder,
    File,
}

/// The permissions of something that had `bits`.
pub(super) fn apply(mode: &Mode, bits: u32, subject: Subject) -> u32 {
    match mode {
        Mode::Octal(bits) => *bits,
        Mode::Symbolic(text) => {
            let is_searched = subject == Subject::Folder || bits & 0o111 != 0;
            text.split(',').fold(bits & 0o7777, |bits, clause| change(clause, bits, is_searched))
        }
    }
}

/// One clause: who, then one or more of an operator with permissions.
fn change(clause: &str, mut bits: u32, is_searched: bool) -> u32 {
    let changes = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    let who = who(&clause[..clause.len() - changes.len()]);
    let mut rest = changes;
    while let Some(operator) = rest.chars().next() {
        let after = &rest[operator.len_utf8()..];
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let wanted = permissions(&after[..end], bits, is_searched) & (who | STICKY);
        bits = match operator {
            '+' => bits | wanted,
            '-' => bits & !wanted,
            _ => bits & !who | wanted,
        };
        rest = &after[end..];
    }
    bits
}

/// The bits that somebody's permissions are in.
fn who(letters: &str) -> u32 {
    let bits = |letter| match letter {
        'u' => SET_USER | USER,
        'g' => SET_GROUP | GROUP,
        'o' => OTHERS,
        _ => SET_USER | SET_GROUP | USER | GROUP | OTHERS,
    };
    // Nobody means everybody.
    if letters.is_empty() { bits('a') } else { letters.chars().map(bits).fold(0, |all, bits| all | bits) }
}

/// Permissions, for everybody.
fn permissions(letters: &str, bits: u32, is_searched: bool) -> u32 {
    letters.chars().fold(0, |all, letter| {
        all | match letter {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            'X' if is_searched => 0o111,
            's' => SET_USER | SET_GROUP,
            't' => STICKY,
            'u' => (bits & USER) >> 6 | (bits & USER) >> 3 | (bits & USER),
            'g' => (bits & GROUP) >> 3 | (bits & GROUP) | (bits & GROUP) << 3,
            'o' => (bits & OTHERS) | (bits & OTHERS) << 3 | (bits & OTHERS) << 6,
            _ => 0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_change_bits_as_chmod_does() {
        for (text, bits, subject, expected) in [
            ("u=rwX,go=rX", 0o600, Subject::File, 0o644),
            ("u=rwX,go=rX", 0o700, Subject::File, 0o755),
            ("u=rwX,go=rX", 0o600, Subject::Folder, 0o755),
            ("+x", 0o644, Subject::File, 0o755),
            ("a-w", 0o666, Subject::File, 0o444),
            ("u+s", 0o755, Subject::File, 0o4755),
            ("g+s", 0o755, Subject::Folder, 0o2755),
            ("+s", 0o755, Subject::File, 0o6755),
            ("o+s", 0o755, Subject::File, 0o755),
            ("u=rw", 0o4755, Subject::File, 0o655),
            ("a=", 0o7777, Subject::File, 0o1000),
            ("+t", 0o777, Subject::Folder, 0o1777),
            ("g=u", 0o640, Subject::File, 0o660),
            ("o=g-w", 0o670, Subject::File, 0o675),
            ("u-x+w", 0o500, Subject::File, 0o600),
        ] {
            assert_eq!(apply(&Mode::Symbolic(text.into()), bits, subject), expected, "{text} {bits:o}");
        }
        assert_eq!(apply(&Mode::Octal(0o640), 0o4777, Subject::Folder), 0o640);
    }
}
