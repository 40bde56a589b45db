//! Permissions of `--chmod`.

use serde::Serialize;

use crate::error::PlanProblem;

/// Permissions to set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All bits.
    Octal(u32),
    /// Changes by letters, as `chmod` takes them: `u=rwX,go-w`.
    Symbolic(String),
}

impl Mode {
    /// Reads octal digits or letters.
    pub(super) fn parse(text: &str) -> Result<Self, PlanProblem> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(|| PlanProblem::Chmod(text.to_owned()));
        }
        if text.split(',').all(is_clause) {
            Ok(Self::Symbolic(text.to_owned()))
        } else {
            Err(PlanProblem::SymbolicMode(text.to_owned()))
        }
    }
}

/// Who, then one or more of an operator with permissions.
fn is_clause(text: &str) -> bool {
    let changes = text.trim_start_matches(['u', 'g', 'o', 'a']);
    let mut parts = changes.split(['+', '-', '=']);
    let is_permissions =
        |part: &str| matches!(part, "u" | "g" | "o") || part.bytes().all(|byte| b"rwxXst".contains(&byte));
    parts.next() == Some("") && changes.len() > 1 && parts.all(is_permissions) || changes == "="
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_by_letters() {
        assert_eq!(Mode::parse("0755"), Ok(Mode::Octal(0o755)));
        for text in ["u=rwX,go=rX", "+x", "a-w", "u+s", "g=u", "u=rw+x", "o="] {
            assert_eq!(Mode::parse(text), Ok(Mode::Symbolic(text.into())), "{text}");
        }
        for text in ["778", "10000", "99999999999999"] {
            assert_eq!(Mode::parse(text), Err(PlanProblem::Chmod(text.into())), "{text}");
        }
        for text in ["x", "u", "u+q", "u=rw,", "-", "rw"] {
            assert_eq!(Mode::parse(text), Err(PlanProblem::SymbolicMode(text.into())), "{text}");
        }
    }
}
