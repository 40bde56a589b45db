//! `HEALTHCHECK`.

use super::flags::{Checked, Flags, Takes};
use super::instruction::{Command, HealthCommand, HealthOptions, Kind};
use super::line::Part;
use super::words;
use crate::error::{Error, Problem};

const FLAGS: [(&str, Takes); 5] = [
    ("interval", Takes::Text),
    ("timeout", Takes::Text),
    ("start-period", Takes::Text),
    ("start-interval", Takes::Text),
    ("retries", Takes::Text),
];
/// Nanoseconds.
const SHORTEST: i64 = 1_000_000;

pub(crate) fn parse(flags: Flags, rest: Part<'_>) -> Result<Kind, Error> {
    let (kind, after) = rest.split_blank();
    let after = after.unwrap_or(rest.sub(rest.text().len(), rest.text().len()));
    let kind_name = kind.text().to_ascii_uppercase();
    if kind_name.is_empty() {
        return Err(Problem::NoArgument("HEALTHCHECK").into());
    }
    let flags = flags.check(&FLAGS)?;
    let command = match kind_name.as_str() {
        "NONE" if after.is_empty() => {
            return Ok(Kind::Healthcheck(HealthCommand::None, HealthOptions::default()));
        }
        "NONE" => return Err(Error::new(Problem::HealthNone).at(after.span())),
        "CMD" => command(after)?,
        _ => return Err(Error::new(Problem::HealthType(kind_name)).at(kind.span())),
    };
    let options = HealthOptions {
        interval: duration(&flags, "interval")?,
        timeout: duration(&flags, "timeout")?,
        start_period: duration(&flags, "start-period")?,
        start_interval: duration(&flags, "start-interval")?,
        retries: retries(&flags)?,
    };
    Ok(Kind::Healthcheck(HealthCommand::Run(command), options))
}

fn command(part: Part<'_>) -> Result<Command, Error> {
    match words::json_list(part)? {
        Some(words) if !words.is_empty() => Ok(Command::Exec(words)),
        None if !part.is_empty() => Ok(Command::Shell(part.text().to_owned())),
        _ => Err(Problem::HealthCommand.into()),
    }
}

fn duration(flags: &Checked, name: &'static str) -> Result<i64, Error> {
    let Some(word) = flags.filled(name) else { return Ok(0) };
    let time = oci::duration::parse(&word.text).map_err(|error| Error::new(error.into()).at(word.span))?;
    if time != 0 && time < SHORTEST {
        return Err(Error::new(Problem::ShortInterval(name)).at(word.span));
    }
    Ok(time)
}

/// As Go reads 32-bit numbers.
fn retries(flags: &Checked) -> Result<i64, Error> {
    let Some(word) = flags.filled("retries") else { return Ok(0) };
    let digits = word.text.strip_prefix(['+', '-']).unwrap_or(&word.text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match word.text.parse::<i32>() {
        Ok(retries) if retries < 0 => Err(Error::new(Problem::NegativeRetries(retries.into())).at(word.span)),
        Ok(retries) => Ok(retries.into()),
        Err(_) => {
            let reason = if is_number { "value out of range" } else { "invalid syntax" };
            Err(Error::new(Problem::Retries { text: word.text, reason }).at(word.span))
        }
    }
}
