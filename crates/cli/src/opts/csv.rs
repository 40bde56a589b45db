//! Comma-separated values, as Go's `encoding/csv` reads them: `--mount`, `--secret`, `--output`.

/// The fields of one line of comma-separated values, where a field may be in quotes.
pub(crate) fn csv_fields(text: &str) -> Result<Vec<String>, String> {
    let line = text.lines().next().unwrap_or("");
    if line.is_empty() {
        return Err("EOF".to_owned());
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if let Some(column) = rest[..end].find('"') {
                    let column = line.len() - rest.len() + column + 1;
                    return Err(format!(
                        "parse error on line 1, column {column}: bare \" in non-quoted-field"
                    ));
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// The rest of a quoted field, and what follows its closing quote.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let Some(quote) = rest.find('"') else {
            return Err("parse error on line 1: extraneous or missing \" in quoted-field".to_owned());
        };
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.chars().next() {
            None | Some(',') => return Ok((field, rest)),
            Some('"') => {
                field.push('"');
                rest = &rest[1..];
            }
            Some(_) => {
                return Err("parse error on line 1: extraneous or missing \" in quoted-field".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_may_hold_commas_and_quotes() {
        assert_eq!(csv_fields("a=1,\"b=x,\"\"y\"\"\",c").unwrap(), ["a=1", "b=x,\"y\"", "c"]);
        assert_eq!(csv_fields("").unwrap_err(), "EOF");
        assert!(csv_fields("a\"b").unwrap_err().contains("column 2: bare"));
    }
}
