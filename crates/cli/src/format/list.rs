//! Lists of rows: tables, JSON lines, and templates per row.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;

use super::functions;
use super::json::Originals;
use super::template::{Missing, Piece, Template, TemplateError, method};
use crate::failure::Failure;
use crate::text::{Layout, align};

/// What a field of a row holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    /// Printed like text, but JSON in `{{json .}}`.
    Json(String),
}

/// One row of a list, for example one container.
pub(crate) trait Row {
    /// The Go type whose name `docker`'s messages mention.
    const TYPE: &'static str;
    /// The fields that templates can use, with the titles they have in a table.
    const FIELDS: &'static [(&'static str, &'static str)];
    /// The names of fields that `{{json .}}` leaves out.
    const NOT_IN_JSON: &'static [&'static str] = &[];
    /// The methods that take a name, such as `.Label "key"`.
    const METHODS: &'static [&'static str] = &[];

    /// The value of one of [`Row::FIELDS`].
    fn field(&self, name: &str) -> Cell;
    /// The same in `{{json .}}`, where that differs.
    fn json(&self, name: &str) -> Cell {
        self.field(name)
    }
    /// The result of one of [`Row::METHODS`].
    fn method(&self, _name: &str, _argument: &str) -> String {
        String::new()
    }
}

/// How a list is to be shown.
pub(crate) struct Listing {
    template: Template,
    table: bool,
}

impl Listing {
    /// Reads the `--format` text. `default` is the table's template, used for `""` and `table`.
    pub(crate) fn new(format: &str, default: &str) -> Result<Self, Failure> {
        let (table, body) = match format.strip_prefix("table") {
            _ if format.is_empty() => (true, default),
            Some(rest) if rest.trim().is_empty() => (true, default.trim_start_matches("table ")),
            Some(rest) => (true, rest),
            None if format == "json" => (false, "{{json .}}"),
            None => (false, format),
        };
        let (table, body) = match body.strip_prefix("table ") {
            Some(rest) => (true, rest),
            None => (table, body),
        };
        let body = body.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse("", &body)
            .map_err(|error| Failure::message(format!("failed to parse template: {error}")))?;
        Ok(Self { template, table })
    }

    /// Whether the field or method is used, for fields that cost the engine work.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.template.uses(name)
    }

    /// Whether a table is shown, rather than lines made by a template.
    pub(crate) fn is_table(&self) -> bool {
        self.table
    }

    /// The text of all rows.
    pub(crate) fn render<R: Row + Clone + Send + Sync + 'static>(
        &self,
        rows: &[R],
    ) -> Result<String, Failure> {
        let lines = self
            .lines(rows)
            .map_err(|error| Failure::message(format!("failed to execute template: {error}")))?;
        Ok(if self.table { align(&lines, Layout::LIST) } else { lines })
    }

    fn lines<R: Row + Clone + Send + Sync + 'static>(&self, rows: &[R]) -> Result<String, TemplateError> {
        let mut out = String::new();
        if let Some(pieces) = self.template.pieces() {
            self.check_fields::<R>(&pieces)?;
            if self.table {
                push_pieces(&mut out, &pieces, |name| title::<R>(name).to_owned());
            }
            for row in rows {
                push_pieces(&mut out, &pieces, |name| row.field(name).into_text());
            }
            return Ok(out);
        }
        let missing = Missing::TypeField(R::TYPE);
        if self.table {
            out.push_str(&self.template.execute(&headers::<R>(), &functions::for_headers(), missing)?);
            out.push('\n');
        }
        for row in rows {
            let mut originals = Originals::default();
            let data = values(row, &mut originals);
            let functions = functions::for_values(Arc::new(originals));
            out.push_str(&self.template.execute(&data, &functions, missing)?);
            out.push('\n');
        }
        Ok(out)
    }

    fn check_fields<R: Row>(&self, pieces: &[Piece]) -> Result<(), TemplateError> {
        for piece in pieces {
            if let Piece::Field(name) = piece
                && !R::FIELDS.iter().any(|(field, _)| field == name)
            {
                return Err(self.template.unknown_field(name, R::TYPE));
            }
        }
        Ok(())
    }
}

impl Cell {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }
}

fn push_pieces(out: &mut String, pieces: &[Piece], value: impl Fn(&str) -> String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Field(name) => out.push_str(&value(name)),
        }
    }
    out.push('\n');
}

fn title<R: Row>(name: &str) -> &'static str {
    R::FIELDS.iter().find(|(field, _)| *field == name).map_or("", |(_, title)| title)
}

fn headers<R: Row>() -> Value {
    let mut map: BTreeMap<Arc<str>, Value> =
        R::FIELDS.iter().map(|(name, title)| ((*name).into(), Value::String((*title).into()))).collect();
    for name in R::METHODS {
        map.insert((*name).into(), method(label_title));
    }
    Value::Map(Arc::new(map))
}

/// The title of a label's column: the last part of its dotted name, with blanks for dashes.
fn label_title(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).replace(['-', '_'], " ")
}

fn values<R: Row + Clone + Send + Sync + 'static>(row: &R, originals: &mut Originals) -> Value {
    let mut map: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    let mut json: BTreeMap<&str, String> = BTreeMap::new();
    for (name, _) in R::FIELDS {
        let cell = row.field(name);
        if !R::NOT_IN_JSON.contains(name) {
            json.insert(name, row.json(name).to_json());
        }
        map.insert((*name).into(), Value::String(cell.into_text().into()));
    }
    for name in R::METHODS {
        let row = row.clone();
        map.insert((*name).into(), method(move |argument| row.method(name, argument)));
    }
    let entries: Vec<String> = json.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
    originals.with_root(Value::Map(Arc::new(map)), format!("{{{}}}", entries.join(",")))
}

impl Cell {
    fn to_json(&self) -> String {
        match self {
            Self::Json(json) => json.clone(),
            Self::Text(text) => escape_html(&serde_json::to_string(text).expect("a string is always JSON")),
        }
    }
}

/// Go's `json.Marshal` escapes what could end a script element.
fn escape_html(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Pair(&'static str, &'static str);

    impl Row for Pair {
        const TYPE: &'static str = "*formatter.Pair";
        const FIELDS: &'static [(&'static str, &'static str)] = &[("ID", "PAIR ID"), ("Name", "NAME")];
        const METHODS: &'static [&'static str] = &["Label"];
        fn field(&self, name: &str) -> Cell {
            Cell::Text(if name == "ID" { self.0.to_owned() } else { self.1.to_owned() })
        }
        fn method(&self, _: &str, argument: &str) -> String {
            format!("{argument}={}", self.1)
        }
    }

    const ROWS: &[Pair] = &[Pair("1", "<one>"), Pair("2", "two words")];

    fn show(format: &str) -> String {
        let listing = Listing::new(format, "table {{.ID}}\\t{{.Name}}").unwrap();
        listing.render(ROWS).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn default_is_an_aligned_table() {
        let table = "PAIR ID   NAME\n1         <one>\n2         two words\n";
        assert_eq!(show(""), table);
        assert_eq!(show("table"), table);
    }

    #[test]
    fn json_sorts_and_escapes_as_go_does() {
        assert_eq!(
            show("json"),
            "{\"ID\":\"1\",\"Name\":\"\\u003cone\\u003e\"}\n{\"ID\":\"2\",\"Name\":\"two words\"}\n"
        );
        assert_eq!(show("{{json .Name}}"), "\"<one>\"\n\"two words\"\n");
    }

    #[test]
    fn functions_and_methods_work_in_templates() {
        assert_eq!(
            show("{{upper .Name}}|{{.Name | truncate 2}}"),
            "failed to execute template: template: : executing \"\": type mismatch: expected string, got int"
        );
        assert_eq!(
            show("{{.ID}}{{range split .Name \" \"}} {{title .}}{{end}}{{println}}"),
            "1 <One>\n\n2 Two Words\n\n"
        );
        assert_eq!(show("{{.Label \"a.b\"}}"), "a.b=<one>\na.b=two words\n");
        assert_eq!(show("{{if eq .ID \"1\"}}first{{else}}{{pad .ID 1 2}}.{{end}}"), "first\n 2  .\n");
    }

    #[test]
    fn table_template_has_titles() {
        assert_eq!(
            show("table {{.ID}}\\t{{.Label \"com.my-key\"}}"),
            "PAIR ID   my key\n1         com.my-key=<one>\n2         com.my-key=two words\n"
        );
        assert_eq!(show("table {{upper .Name}}"), "NAME\n<ONE>\nTWO WORDS\n");
    }

    #[test]
    fn errors_have_the_words_of_go() {
        assert_eq!(
            show("{{.Foo}}"),
            "failed to execute template: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.Pair"
        );
        assert_eq!(
            Listing::new("{{.ID", "").err().unwrap().to_string(),
            "failed to parse template: template: :1: unclosed action"
        );
        assert_eq!(
            Listing::new("{{foo .ID}}", "").err().unwrap().to_string(),
            "failed to parse template: template: :1: function \"foo\" not defined"
        );
    }
}
