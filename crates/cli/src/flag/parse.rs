//! Reads a command line into an options struct, with pflag's rules and messages.

use thiserror::Error;

use super::{Flag, InvalidValue, Options};

/// A command line that does not fit the flags.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FlagError {
    /// A long flag that does not exist.
    #[error("unknown flag: --{0}")]
    UnknownLong(String),
    /// A letter that is no flag, with the whole word it stands in.
    #[error("unknown shorthand flag: {0:?} in -{1}")]
    UnknownShort(char, String),
    /// A long flag at the end that needs a value.
    #[error("flag needs an argument: --{0}")]
    MissingLong(String),
    /// A letter at the end that needs a value, with the whole word it stands in.
    #[error("flag needs an argument: {0:?} in -{1}")]
    MissingShort(char, String),
    /// `--=x` or `---x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// A value that the flag refuses.
    #[error("invalid argument {text:?} for \"{flag}\" flag: {reason}")]
    Invalid {
        /// The flag as the help shows it: `-m, --memory`.
        flag: String,
        /// What was given.
        text: String,
        /// Why it is refused.
        reason: InvalidValue,
    },
}

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Arguments<O> {
    /// Run with these options and arguments.
    Run(O, Vec<String>),
    /// Show the help; `deprecated` when it was asked for by `-h`.
    Help {
        /// Whether the letter was used, which `docker` discourages.
        deprecated: bool,
    },
}

/// Reads `words` (without the command's own name).
pub(crate) fn parse<O: Options>(words: &[String]) -> Result<Arguments<O>, FlagError> {
    let mut state = State { options: O::default(), arguments: Vec::new(), help: None, words: words.iter() };
    while let Some(word) = state.words.next() {
        if word == "--" {
            state.arguments.extend(state.words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            state.long(long)?;
        } else if word.len() > 1 && word.starts_with('-') {
            state.shorts(&word[1..])?;
        } else {
            state.arguments.push(word.clone());
            if !O::INTERSPERSED {
                state.arguments.extend(state.words.by_ref().cloned());
            }
        }
    }
    Ok(match state.help {
        Some(deprecated) => Arguments::Help { deprecated },
        None => Arguments::Run(state.options, state.arguments),
    })
}

struct State<'a, O> {
    options: O,
    arguments: Vec<String>,
    help: Option<bool>,
    words: std::slice::Iter<'a, String>,
}

impl<O: Options> State<'_, O> {
    fn long(&mut self, body: &str) -> Result<(), FlagError> {
        if body.starts_with(['-', '=']) {
            return Err(FlagError::Syntax(format!("--{body}")));
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let Some(flag) = O::FLAGS.iter().find(|flag| flag.long == name) else {
            return self.help_flag(name, inline);
        };
        let text = match (inline, (flag.slot)(&mut self.options).implied()) {
            (Some(text), _) => text,
            (None, Some(implied)) => implied,
            (None, None) => {
                self.words.next().ok_or_else(|| FlagError::MissingLong(name.to_owned()))?.as_str()
            }
        };
        set(flag, &mut self.options, text)
    }

    fn help_flag(&mut self, name: &str, inline: Option<&str>) -> Result<(), FlagError> {
        if name != "help" {
            return Err(FlagError::UnknownLong(name.to_owned()));
        }
        let mut wanted = true;
        if let Some(text) = inline {
            super::Value::set(&mut wanted, text).map_err(|reason| FlagError::Invalid {
                flag: "--help".to_owned(),
                text: text.to_owned(),
                reason,
            })?;
        }
        if wanted {
            self.help.get_or_insert(false);
        }
        Ok(())
    }

    /// One word of letters: `-itd`, `-p80:80`, `-p=80:80`, or the last letter's value in the next word.
    fn shorts(&mut self, word: &str) -> Result<(), FlagError> {
        let mut rest = word;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let Some(flag) = O::FLAGS.iter().find(|flag| flag.short == Some(letter)) else {
                if letter == 'h' {
                    self.help = Some(true);
                    continue;
                }
                return Err(FlagError::UnknownShort(letter, word.to_owned()));
            };
            if let Some(text) = rest.strip_prefix('=') {
                return set(flag, &mut self.options, text);
            }
            if let Some(implied) = (flag.slot)(&mut self.options).implied() {
                set(flag, &mut self.options, implied)?;
                continue;
            }
            if !rest.is_empty() {
                return set(flag, &mut self.options, rest);
            }
            let text = self.words.next().ok_or_else(|| FlagError::MissingShort(letter, word.to_owned()))?;
            return set(flag, &mut self.options, text);
        }
        Ok(())
    }
}

fn set<O>(flag: &Flag<O>, options: &mut O, text: &str) -> Result<(), FlagError> {
    (flag.slot)(options).set(text).map_err(|reason| FlagError::Invalid {
        flag: match flag.short {
            Some(short) => format!("-{short}, --{}", flag.long),
            None => format!("--{}", flag.long),
        },
        text: text.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default, Debug, PartialEq)]
    struct Sample {
        interactive: bool,
        tty: bool,
        name: String,
        publish: Vec<String>,
        tail: i64,
    }

    impl Options for Sample {
        const INTERSPERSED: bool = false;
        const FLAGS: &'static [Flag<Self>] = &[
            Flag::lettered('i', "interactive", "", |o| &mut o.interactive),
            Flag::lettered('t', "tty", "", |o| &mut o.tty),
            Flag::new("name", "", |o| &mut o.name),
            Flag::lettered('p', "publish", "", |o| &mut o.publish),
            Flag::lettered('n', "tail", "", |o| &mut o.tail),
        ];
    }

    fn read(line: &[&str]) -> Result<(Sample, Vec<String>), String> {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        match parse::<Sample>(&words).map_err(|error| error.to_string())? {
            Arguments::Run(options, arguments) => Ok((options, arguments)),
            Arguments::Help { .. } => Err("help".to_owned()),
        }
    }

    #[test]
    fn letters_combined_set_each_switch() {
        let (options, arguments) = read(&["-itp80:80", "-p=1", "-p", "2", "image", "-t"]).unwrap();
        assert!(options.interactive && options.tty);
        assert_eq!(options.publish, ["80:80", "1", "2"]);
        assert_eq!(arguments, ["image", "-t"]);
    }

    #[test]
    fn long_flags_take_value_inline_or_next() {
        let (options, _) = read(&["--name=a=b", "--tail", "-3", "--tty=false"]).unwrap();
        assert_eq!((options.name.as_str(), options.tail, options.tty), ("a=b", -3, false));
    }

    #[test]
    fn double_dash_ends_the_flags() {
        assert_eq!(read(&["--", "--tty"]).unwrap().1, ["--tty"]);
    }

    #[test]
    fn errors_have_the_words_of_pflag() {
        for (line, message) in [
            (vec!["--foo"], "unknown flag: --foo"),
            (vec!["-iz"], "unknown shorthand flag: 'z' in -iz"),
            (vec!["--name"], "flag needs an argument: --name"),
            (vec!["-ip"], "flag needs an argument: 'p' in -ip"),
            (vec!["--=x"], "bad flag syntax: --=x"),
            (
                vec!["--tty=maybe"],
                "invalid argument \"maybe\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
        ] {
            assert_eq!(read(&line).unwrap_err(), message);
        }
    }

    #[test]
    fn help_is_recognised_unless_switched_off() {
        assert_eq!(read(&["--help"]).unwrap_err(), "help");
        assert_eq!(read(&["-h"]).unwrap_err(), "help");
        assert!(read(&["--help=false"]).is_ok());
    }

    proptest! {
        #[test]
        fn any_words_never_panic(words in proptest::collection::vec("[-=a-z é]{0,6}", 0..6)) {
            let _ = parse::<Sample>(&words);
        }
    }
}
