//! One parsed template, and its errors in the words of Go's `text/template`.

use std::collections::BTreeSet;
use std::sync::Arc;

use gotmpl::parse::{CommandNode, DefineNode, Expr, ListNode, Node, Parser, PipeNode, Pos, SmolStr};
use gotmpl::{FuncMap, MissingKey, Value};
use thiserror::Error;

use super::functions;

/// A template that cannot be parsed or executed. The text is what follows `template: ` in Go.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("template: {0}")]
pub(crate) struct TemplateError(String);

/// What a template that only prints fields and text consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Field(String),
}

/// A parsed template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    name: String,
    source: String,
    tree: ListNode,
    defines: Vec<DefineNode>,
    fields: BTreeSet<String>,
}

/// How a template names the absence of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Missing<'a> {
    /// The data is a JSON object: `map has no entry for key`.
    MapKey,
    /// The data is a fixed set of fields of the named Go type: `can't evaluate field`.
    TypeField(&'a str),
}

const MAIN: &str = "main body";

impl Template {
    /// Parses `source`; `name` is what Go's messages call the template.
    pub(crate) fn parse(name: &str, source: &str) -> Result<Self, TemplateError> {
        let (mut tree, mut defines) = Parser::new(source, "{{", "}}")
            .and_then(Parser::parse)
            .map_err(|error| TemplateError(format!("{name}{}", syntax_error(&error))))?;
        let mut visitor = Rewrite { fields: BTreeSet::new(), unknown: None };
        visitor.list(&mut tree);
        defines.iter_mut().for_each(|define| visitor.list(&mut define.body));
        if let Some((function, line)) = visitor.unknown {
            return Err(TemplateError(format!("{name}:{line}: function {function:?} not defined")));
        }
        Ok(Self { name: name.to_owned(), source: source.to_owned(), tree, defines, fields: visitor.fields })
    }

    /// Whether the template reads the field or calls the method `name` anywhere.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.fields.contains(name) || self.fields.contains("")
    }

    /// The pieces of a template without functions and control flow: such a one needs no interpreter.
    pub(crate) fn pieces(&self) -> Option<Vec<Piece>> {
        if !self.defines.is_empty() {
            return None;
        }
        self.tree.nodes.iter().map(simple_piece).collect()
    }

    /// Executes the template over `data`.
    pub(crate) fn execute(
        &self,
        data: &Value,
        functions: &FuncMap,
        missing: Missing<'_>,
    ) -> Result<String, TemplateError> {
        self.run(&self.tree, data, functions).or_else(|error| match (&error, missing) {
            (gotmpl::TemplateError::MissingKey { key }, Missing::MapKey) => {
                self.retry_by_go_name(key, data, functions)
            }
            _ => Err(self.execution_error(&error, missing)),
        })
    }

    fn run(
        &self,
        tree: &ListNode,
        data: &Value,
        functions: &FuncMap,
    ) -> Result<String, gotmpl::TemplateError> {
        let mut template = gotmpl::Template::new("")
            .missing_key(MissingKey::Error)
            .funcs(functions.clone())
            .parse(&format!("{{{{template {MAIN:?} .}}}}"))?
            .add_parse_tree(MAIN, tree.clone());
        for define in &self.defines {
            template = template.add_parse_tree(&define.name, define.body.clone());
        }
        template.execute_to_string(data)
    }

    /// `{{.ID}}` is Go's name of what JSON calls `Id`: names that differ in case only are taken as such.
    fn retry_by_go_name(
        &self,
        key: &str,
        data: &Value,
        functions: &FuncMap,
    ) -> Result<String, TemplateError> {
        let mut tree = self.tree.clone();
        let (mut missing, mut attempts) = (key.to_owned(), 0);
        loop {
            let error = gotmpl::TemplateError::MissingKey { key: missing.clone() };
            let Some(name) = key_ignoring_case(data, &missing).filter(|_| attempts < 8) else {
                return Err(self.execution_error(&error, Missing::MapKey));
            };
            Rename { from: &missing, to: SmolStr::new(name) }.list(&mut tree);
            match self.run(&tree, data, functions) {
                Ok(text) => return Ok(text),
                Err(gotmpl::TemplateError::MissingKey { key }) => (missing, attempts) = (key, attempts + 1),
                Err(error) => return Err(self.execution_error(&error, Missing::MapKey)),
            }
        }
    }

    fn execution_error(&self, error: &gotmpl::TemplateError, missing: Missing<'_>) -> TemplateError {
        let name = &self.name;
        let (place, reason) = match error {
            gotmpl::TemplateError::MissingKey { key } => {
                (Find::key(&self.tree, &self.defines, key), missing.describe(key))
            }
            other => (None, other.to_string()),
        };
        TemplateError(match place {
            Some((pos, chain)) => {
                let (line, column) = self.line_and_column(pos);
                format!("{name}:{line}:{column}: executing {name:?} at <{chain}>: {reason}")
            }
            None => format!("{name}: executing {name:?}: {reason}"),
        })
    }

    fn line_and_column(&self, pos: Pos) -> (usize, usize) {
        let before = self.source.get(..pos.offset).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        (line, before.rfind('\n').map_or(pos.offset, |start| pos.offset - start))
    }
}

impl Missing<'_> {
    fn describe(self, key: &str) -> String {
        match self {
            Self::MapKey => format!("map has no entry for key {key:?}"),
            Self::TypeField(type_name) => format!("can't evaluate field {key} in type {type_name}"),
        }
    }
}

impl Template {
    /// The error of reading a field that the rows of a list do not have.
    pub(crate) fn unknown_field(&self, key: &str, type_name: &str) -> TemplateError {
        self.execution_error(
            &gotmpl::TemplateError::MissingKey { key: key.to_owned() },
            Missing::TypeField(type_name),
        )
    }
}

fn syntax_error(error: &gotmpl::TemplateError) -> String {
    match error {
        gotmpl::TemplateError::Parse { line, message, .. }
        | gotmpl::TemplateError::Lex { line, message, .. } => {
            format!(":{line}: {message}")
        }
        other => format!(": {other}"),
    }
}

fn simple_piece(node: &Node) -> Option<Piece> {
    match node {
        Node::Text(text) => Some(Piece::Text(text.text.to_string())),
        Node::Action(action) if action.pipe.decl.is_empty() => match action.pipe.commands.as_slice() {
            [CommandNode { args, .. }] => match args.as_slice() {
                [Expr::Field(_, chain)] if chain.len() == 1 => Some(Piece::Field(chain[0].to_string())),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn key_ignoring_case(data: &Value, key: &str) -> Option<String> {
    match data {
        Value::Map(map) => map
            .keys()
            .find(|name| name.eq_ignore_ascii_case(key) && ***name != *key)
            .map(|name| name.to_string())
            .or_else(|| map.values().find_map(|value| key_ignoring_case(value, key))),
        Value::List(items) => items.iter().find_map(|item| key_ignoring_case(item, key)),
        _ => None,
    }
}

/// A walk over all expressions of a template.
trait Walk {
    fn command(&mut self, command: &mut CommandNode);
    fn expression(&mut self, expression: &mut Expr);

    fn list(&mut self, list: &mut ListNode) {
        list.nodes.iter_mut().for_each(|node| self.node(node));
    }

    fn node(&mut self, node: &mut Node) {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.pipe(&mut action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                self.pipe(&mut branch.pipe);
                self.list(&mut branch.body);
                if let Some(body) = &mut branch.else_body {
                    self.list(body);
                }
            }
            Node::Template(call) => {
                if let Some(pipe) = &mut call.pipe {
                    self.pipe(pipe);
                }
            }
            Node::Define(define) => self.list(&mut define.body),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }

    fn pipe(&mut self, pipe: &mut PipeNode) {
        for command in &mut pipe.commands {
            self.command(command);
            command.args.iter_mut().for_each(|argument| self.nested(argument));
        }
    }

    fn nested(&mut self, expression: &mut Expr) {
        match expression {
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.nested(inner),
            _ => {}
        }
        self.expression(expression);
    }
}

/// Turns method calls (`.Label "x"`) into `call .Label "x"`, and notes which fields and functions are used.
struct Rewrite {
    fields: BTreeSet<String>,
    unknown: Option<(String, usize)>,
}

impl Walk for Rewrite {
    fn command(&mut self, command: &mut CommandNode) {
        if command.args.len() > 1
            && let Some(Expr::Field(pos, _)) = command.args.first()
        {
            command.args.insert(0, Expr::Identifier(*pos, SmolStr::new("call")));
        }
    }

    fn expression(&mut self, expression: &mut Expr) {
        match expression {
            // The whole row is printed, so every field counts as used.
            Expr::Dot(_) => {
                self.fields.insert(String::new());
            }
            Expr::Field(_, chain) | Expr::Variable(_, _, chain) | Expr::Chain(_, _, chain) => {
                self.fields.extend(chain.first().map(ToString::to_string));
            }
            Expr::Identifier(pos, name) => {
                let known = functions::NAMES.iter().chain(functions::BUILT_IN).any(|known| known == name);
                if !known && self.unknown.is_none() {
                    self.unknown = Some((name.to_string(), pos.line));
                }
            }
            _ => {}
        }
    }
}

struct Rename<'a> {
    from: &'a str,
    to: SmolStr,
}

impl Walk for Rename<'_> {
    fn command(&mut self, _: &mut CommandNode) {}

    fn expression(&mut self, expression: &mut Expr) {
        if let Expr::Field(_, chain) | Expr::Variable(_, _, chain) | Expr::Chain(_, _, chain) = expression {
            for name in chain.iter_mut().filter(|name| *name == self.from) {
                *name = self.to.clone();
            }
        }
    }
}

/// Finds the first place where a field is read, for error messages.
struct Find<'a> {
    key: &'a str,
    found: Option<(Pos, String)>,
}

impl<'a> Find<'a> {
    fn key(tree: &ListNode, defines: &[DefineNode], key: &'a str) -> Option<(Pos, String)> {
        let mut find = Find { key, found: None };
        find.list(&mut tree.clone());
        defines.iter().for_each(|define| find.list(&mut define.body.clone()));
        find.found
    }
}

impl Walk for Find<'_> {
    fn command(&mut self, _: &mut CommandNode) {}

    fn expression(&mut self, expression: &mut Expr) {
        let (Expr::Field(pos, chain) | Expr::Variable(pos, _, chain)) = expression else { return };
        if self.found.is_none() && chain.iter().any(|name| name == self.key) {
            // Go places a chain at its second field.
            let skip = if chain.len() > 1 { chain[0].len() + 1 } else { 0 };
            let text: String = chain.iter().map(|name| format!(".{name}")).collect();
            self.found = Some((Pos::new(pos.offset + skip, pos.line), text));
        }
    }
}

/// A method of a row that takes a string, for use as a field's value.
pub(crate) fn method(body: impl Fn(&str) -> String + Send + Sync + 'static) -> Value {
    Value::Function(Arc::new(move |args: &[Value]| match args {
        [Value::String(argument)] => Ok(Value::String(body(argument).into())),
        _ => Err(gotmpl::TemplateError::ArgCount { name: "method".to_owned(), expected: 1, got: args.len() }),
    }))
}
