//! `inspect` and the other commands that show whole objects.

use std::sync::Arc;

use serde::Serialize;

use super::functions;
use super::json::{Node, Originals};
use super::template::{Missing, Template, TemplateError};

/// How inspected objects are shown.
pub(crate) enum InspectFormat {
    /// An indented JSON list of all objects.
    Indented,
    /// A JSON list on one line.
    Json,
    /// A template per object.
    Template(Box<Template>),
}

impl InspectFormat {
    /// Reads the `--format` text.
    pub(crate) fn new(format: &str) -> Result<Self, TemplateError> {
        Self::named("", format)
    }

    /// The same, with the name that Go's messages give the template.
    pub(crate) fn named(name: &str, format: &str) -> Result<Self, TemplateError> {
        Ok(match format {
            "" => Self::Indented,
            "json" => Self::Json,
            template => Self::Template(Box::new(Template::parse(name, template)?)),
        })
    }

    /// Whether a template reads the field `name`.
    pub(crate) fn uses(&self, name: &str) -> bool {
        matches!(self, Self::Template(template) if template.uses(name))
    }
}

impl Template {
    /// Executes the template over one object. `type_name` is given where the fields are fixed.
    pub(crate) fn render_object(
        &self,
        object: &Node,
        type_name: Option<&str>,
    ) -> Result<String, TemplateError> {
        let mut originals = Originals::default();
        let data = originals.value("", object);
        let missing = type_name.map_or(Missing::MapKey, Missing::TypeField);
        self.execute(&data, &functions::for_values(Arc::new(originals)), missing)
    }
}

/// JSON indented by four blanks, in the given order of keys.
pub(crate) fn pretty(node: &Node) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    node.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        .expect("the tree has only JSON values");
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = r#"{"Id":"abc","State":{"Status":"running","Pid":7},"Config":{"Labels":{"b":"2","a":"1"},"Cmd":["sh","-c"],"Env":null},"Size":1048576,"Name":"/c"}"#;

    fn show(format: &str) -> String {
        let node: Node = serde_json::from_str(OBJECT).unwrap();
        match InspectFormat::new(format) {
            Ok(InspectFormat::Template(template)) => {
                template.render_object(&node, None).unwrap_or_else(|error| error.to_string())
            }
            Ok(InspectFormat::Json) => node.compact(),
            Ok(InspectFormat::Indented) => pretty(&node),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn json_keeps_the_order_of_the_engine() {
        assert_eq!(show("{{json .State}}"), r#"{"Status":"running","Pid":7}"#);
        assert_eq!(
            show("{{.State | json}} {{json .Config.Cmd}}"),
            r#"{"Status":"running","Pid":7} ["sh","-c"]"#
        );
        assert_eq!(show("{{json .Config.Env}}"), "null");
        assert_eq!(show("{{json .}}"), OBJECT);
        assert_eq!(show("json"), OBJECT);
    }

    #[test]
    fn values_print_as_in_go() {
        assert_eq!(
            show("{{.Config.Labels}} {{.Config.Env}} {{.Size}} {{.State.Pid}}"),
            "map[a:1 b:2] [] 1048576 7"
        );
        assert_eq!(show("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}"), "a=1;b=2;");
        assert_eq!(show("{{index .Config.Cmd 0}} {{len .Config.Cmd}}"), "sh 2");
        assert_eq!(show("{{join .Config.Cmd \" \"}}"), "sh -c");
        assert_eq!(show("{{.ID}}"), "abc");
    }

    #[test]
    fn missing_keys_are_errors_with_their_place() {
        assert_eq!(
            show("{{.State.Foo}}"),
            "template: :1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\""
        );
        assert_eq!(
            show("a\nb {{.Foo}}"),
            "template: :2:5: executing \"\" at <.Foo>: map has no entry for key \"Foo\""
        );
        assert_eq!(show("{{.State"), "template: :1: unclosed action");
    }

    #[test]
    fn pretty_indents_by_four_and_keeps_empty_ones_short() {
        let node: Node = serde_json::from_str(r#"[{"a":{},"b":[],"c":[1]}]"#).unwrap();
        insta::assert_snapshot!(pretty(&node), @r#"
        [
            {
                "a": {},
                "b": [],
                "c": [
                    1
                ]
            }
        ]
        "#);
    }
}
