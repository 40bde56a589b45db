//! Whole files.

use proptest::prelude::*;

use super::*;

fn file(source: &str) -> Dockerfile {
    Dockerfile::parse(source.as_bytes())
        .unwrap_or_else(|error| panic!("{}", error.render("Dockerfile", source)))
}

fn one(instruction: &str) -> Kind {
    let mut file = file(&format!("FROM a\n{instruction}"));
    assert_eq!((file.stages.len(), file.stages[0].instructions.len()), (1, 1), "{instruction}");
    file.stages[0].instructions.remove(0).kind
}

fn refused(source: &str) -> String {
    Dockerfile::parse(source.as_bytes()).expect_err(source).to_string()
}

/// The error of the second line, without the text that all of them begin with.
fn refused_instruction(instruction: &str) -> String {
    let text = refused(&format!("FROM a\n{instruction}"));
    text.strip_prefix("dockerfile parse error on line 2: ").unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn exec(words: &[&str]) -> Command {
    Command::Exec(words.iter().map(|&word| word.to_owned()).collect())
}

fn shell(text: &str) -> Command {
    Command::Shell(text.to_owned())
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

#[test]
fn commands_have_two_forms() {
    for (text, expected) in [
        (r#"cmd ["a", "b c"]"#, exec(&["a", "b c"])),
        (r#"CMD ["a", b]"#, shell(r#"["a", b]"#)),
        ("CMD ['a']", shell("['a']")),
        ("CMD a  'b'   c", shell("a  'b'   c")),
        ("CMD", shell("")),
        ("CMD []", exec(&[])),
        ("CMD [\"a\", \\\n\"b\"]", exec(&["a", "b"])),
        ("CMD [\"a\"] # no comment", shell("[\"a\"] # no comment")),
    ] {
        assert_eq!(one(text), Kind::Cmd(expected), "{text}");
    }
}

#[test]
fn stages_have_names_platforms_and_instructions() {
    let file = file("ARG V=1\nARG W\nFROM --platform=$P a:$V AS Base\nRUN x\nfrom base\n");
    assert_eq!((file.global.len(), file.stages.len()), (2, 2));
    let stage = &file.stages[0];
    assert_eq!((stage.from.base.text.as_str(), stage.name().as_str()), ("a:$V", "base"));
    assert_eq!(stage.from.platform.as_ref().unwrap().text, "$P");
    assert_eq!((stage.instructions.len(), stage.lines.first), (1, 3));
    assert_eq!((file.stages[1].keyword.text.as_str(), file.stages[1].name().as_str()), ("from", ""));
}

#[test]
fn copies_and_additions_have_their_flags() {
    let text = "COPY --from=b --chown=1:2 --chmod=755 --link --parents --exclude=*.o --exclude=x a b /c/";
    let Kind::Copy(copy) = one(text) else { panic!() };
    let Transfer { sources, destination, chown, chmod, link, exclude, .. } = &copy.transfer;
    assert_eq!((texts(sources), destination.text.as_str()), (vec!["a", "b"], "/c/"));
    assert_eq!(
        (chown.as_ref().unwrap().text.as_str(), chmod.as_ref().unwrap().text.as_str()),
        ("1:2", "755")
    );
    assert!(*link && copy.parents);
    assert_eq!((texts(exclude), copy.from.unwrap().text.as_str()), (vec!["*.o", "x"], "b"));
    let Kind::Add(add) = one("ADD --checksum=sha256:a --keep-git-dir --unpack=false [\"a b\", \"/c d\"]")
    else {
        panic!()
    };
    assert_eq!((texts(&add.transfer.sources), add.transfer.destination.text.as_str()), (vec!["a b"], "/c d"));
    assert_eq!((add.keep_git_dir, add.unpack), (Some(true), Some(false)));
    assert_eq!(add.checksum.unwrap().text, "sha256:a");
}

#[test]
fn commands_of_a_build_have_their_flags() {
    let text = "RUN --mount=type=cache,target=/c --mount=target=. --network=none --security=insecure make";
    let Kind::Run(run) = one(text) else { panic!() };
    assert_eq!(texts(&run.mounts), ["type=cache,target=/c", "target=."]);
    assert_eq!((run.network, run.security), (Network::None, Security::Insecure));
    assert_eq!(run.command, shell("make"));
}

#[test]
fn pairs_have_two_forms() {
    for (text, expected) in [
        (r#"ENV a=1 b="2 3""#, vec![("a", "1"), ("b", "\"2 3\"")]),
        ("ENV a b c", vec![("a", "b c")]),
        ("ENV a=b=c", vec![("a", "b=c")]),
        (r"ENV a=b\ c", vec![("a", r"b\ c")]),
        ("ENV a=1 \\\n  b=2", vec![("a", "1"), ("b", "2")]),
        ("ENV a=", vec![("a", "")]),
        (r#"ENV "a b"=c"#, vec![("\"a b\"", "c")]),
    ] {
        let Kind::Env(pairs) = one(text) else { panic!() };
        let pairs: Vec<_> =
            pairs.iter().map(|pair| (pair.name.text.as_str(), pair.value.text.as_str())).collect();
        assert_eq!(pairs, expected, "{text}");
    }
    let Kind::Arg(arguments) = one("ARG a b=1 c=") else { panic!() };
    let values: Vec<_> =
        arguments.iter().map(|argument| argument.value.as_ref().map(|word| word.text.as_str())).collect();
    assert_eq!(values, [None, Some("1"), Some("")]);
}

#[test]
fn health_check_has_options_before_its_command() {
    let options = HealthOptions { interval: 5_000_000_000, retries: 2, ..HealthOptions::default() };
    for (text, expected) in [
        (
            "HEALTHCHECK --interval=5s --retries=2 CMD curl -f x",
            Kind::Healthcheck(HealthCommand::Run(shell("curl -f x")), options),
        ),
        (
            r#"HEALTHCHECK --interval=0 cmd ["a"]"#,
            Kind::Healthcheck(HealthCommand::Run(exec(&["a"])), HealthOptions::default()),
        ),
        ("HEALTHCHECK none", Kind::Healthcheck(HealthCommand::None, HealthOptions::default())),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn the_rest_has_one_argument_or_a_list() {
    let word = |kind: Kind| match kind {
        Kind::Workdir(word) | Kind::User(word) | Kind::StopSignal(word) => word.text,
        Kind::Maintainer(text) | Kind::OnBuild(text) => text,
        Kind::Volume(words) | Kind::Expose(words) => texts(&words).join("|"),
        Kind::Shell(words) => words.join("|"),
        other => panic!("{other:?}"),
    };
    for (text, expected) in [
        ("WORKDIR /a b", "/a b"),
        ("USER  u:g ", "u:g"),
        ("STOPSIGNAL 9", "9"),
        ("MAINTAINER a <b@c>", "a <b@c>"),
        ("VOLUME [\"/a b\", \"/c\"]", "/a b|/c"),
        ("VOLUME /a\t/b", "/a|/b"),
        ("EXPOSE 80 53/udp", "53/udp|80"),
        ("SHELL [\"a\", \"-c\"]", "a|-c"),
        ("ONBUILD  RUN --network=none x", "RUN --network=none x"),
        ("onbuild NONSENSE x", "NONSENSE x"),
    ] {
        assert_eq!(word(one(text)), expected, "{text}");
    }
}

#[test]
fn heredocs_are_read_up_to_their_words() {
    let Kind::Run(run) = one("RUN <<A cat <<-B\n1\nA\n\t2\n\tB") else { panic!() };
    assert_eq!(run.command, shell("<<A cat <<-B"));
    let contents: Vec<_> = run.files.iter().map(|file| (file.name.as_str(), file.text())).collect();
    assert_eq!(contents, [("A", "1\n".to_owned()), ("B", "2\n".to_owned())]);
    let Kind::Copy(copy) = one("COPY <<one <<\"two\" x /d/\n# 1\none\n$2\\\ntwo\n") else { panic!() };
    assert_eq!(texts(&copy.transfer.sources), ["x"]);
    let files: Vec<_> = copy.transfer.files.iter().map(|file| (file.content.as_str(), file.expand)).collect();
    assert_eq!(files, [("# 1\n", true), ("$2\\\n", false)]);
    assert_eq!(one("ONBUILD RUN <<E\nx\nE"), Kind::OnBuild("RUN <<E\nx\nE".into()));
    assert_eq!(one("RUN [\"cat\", \"<<E\"]"), one("RUN [ \"cat\",\"<<E\" ]"));
    let two = file("FROM a\nRUN <<E\nFROM b\nE\nUSER u");
    assert_eq!((two.stages.len(), two.stages[0].instructions[0].lines), (1, Lines { first: 2, last: 4 }));
}

#[test]
fn words_have_places() {
    let file = file("FROM a\n\nENV  x=1 \\\n   yy=2");
    let Kind::Env(pairs) = &file.stages[0].instructions[0].kind else { panic!() };
    let place = |word: &Word| (word.span.start.line, word.span.start.column, word.span.end.column);
    assert_eq!((place(&pairs[0].name), place(&pairs[1].name)), ((3, 5, 8), (4, 3, 7)));
}

#[test]
fn directives_change_how_a_file_is_read() {
    let file = file("# escape=`\nFROM a\nRUN x `\n y\\\nUSER u");
    assert_eq!(file.directives.escape_character(), '`');
    assert_eq!(file.stages[0].instructions.len(), 2);
    assert_eq!(file.stages[0].instructions[0].code, "RUN x  y\\");
}

#[test]
fn blank_lines_within_instructions_are_noticed() {
    assert_eq!(file("FROM a\nRUN x \\\n\n y\nRUN z \\\n# no\n y").empty_continuations, [4]);
}

#[test]
fn files_that_are_none_are_refused() {
    for (source, expected) in [
        ("", "the Dockerfile cannot be empty"),
        ("# only\n\n", "file with no instructions"),
        ("ARG a=1", "dockerfile contains no stages to build"),
        ("RUN x", "no build stage in current context"),
        ("#escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"),
        ("FROM a\nRUN <<E\nx", "unterminated heredoc"),
        ("FROM a\nRUN <<E <<F\nE\n", "unterminated heredoc"),
    ] {
        assert_eq!(refused(source), expected, "{source}");
    }
}

#[test]
fn instructions_that_cannot_be_are_refused() {
    for (text, expected) in [
        ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ("coppy a b", "unknown instruction: coppy (did you mean copy?)"),
        ("nonsense", "unknown instruction: nonsense"),
        ("\\", "unknown instruction: "),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AZ b", "FROM requires either one or three arguments"),
        (
            "FROM a AS 1b",
            "invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        (
            "FROM a AS b/c",
            "invalid name for build stage: \"b/c\", name can't start with a number or contain symbols",
        ),
        ("FROM --platfrm=x a", "unknown flag: --platfrm (did you mean platform?)"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "ADD",
            "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination"),
        ("COPY --form=x a b", "unknown flag: --form (did you mean from?)"),
        ("COPY --link=1 a b", "expecting boolean value for flag --link, not: 1"),
        ("COPY --checksum=x a b", "unknown flag: --checksum"),
        ("COPY [1, 2]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("CMD --x y", "unknown flag: --x"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=1 b", "Syntax error - can't find = in \"b\". Must be of the form: name=value"),
        ("ENV =1", "ENV names can not be blank"),
        ("LABEL", "LABEL requires at least one argument"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =1", "ARG names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("SHELL", "SHELL requires at least one argument"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("SHELL bash -c", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("ONBUILD ENV a", "ENV must have two arguments"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK RUN x", "Unknown type \"RUN\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=x CMD y", "time: invalid duration \"x\""),
        ("HEALTHCHECK --interval=1us CMD y", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=x CMD y", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "HEALTHCHECK --retries=9999999999 CMD y",
            "strconv.ParseInt: parsing \"9999999999\": value out of range",
        ),
        ("HEALTHCHECK --retries=-1 CMD y", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --often=1s CMD y", "unknown flag: --often"),
        ("RUN --network=x y", "invalid network mode \"x\""),
        ("RUN --security=x y", "security \"x\" is not valid"),
        ("RUN --mount=from=$x y", "'from' doesn't support variable expansion, define alias stage instead"),
        ("RUN --mount y", "missing a value on flag: --mount"),
        ("RUN --device=x y", "RUN --device is not supported"),
    ] {
        assert_eq!(refused_instruction(text), expected, "{text}");
    }
}

#[test]
fn errors_show_their_place() {
    let source = "FROM a\nRUN x \\\n  && y\nCOPY --form=b \\\n   c d\n";
    let error = Dockerfile::parse(source.as_bytes()).unwrap_err();
    let expected = "Dockerfile:4\n--------------------\n   3 |       && y\n   4 | >>> COPY --form=b \\\n     |          ^^^^^^^^\n   5 | >>>    c d\n   6 |     \n--------------------\ndockerfile parse error on line 4: unknown flag: --form (did you mean from?)";
    assert_eq!(error.render("Dockerfile", source), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Dockerfile::parse(&bytes);
    }

    #[test]
    fn any_instructions_are_read_without_panic(
        lines in proptest::collection::vec(
            "(FROM|RUN|COPY|ADD|ENV|ARG|CMD|LABEL|EXPOSE|HEALTHCHECK|ONBUILD|VOLUME|SHELL|WORKDIR|#) ?[a-zA-Z<>\\[\\]\"'=$\\\\{}:/ ,ä-]{0,30}",
            0..12,
        ),
    ) {
        let source = format!("FROM a\n{}", lines.join("\n"));
        if let Err(error) = Dockerfile::parse(source.as_bytes()) {
            prop_assert!(error.render("f", &source).ends_with(&error.to_string()));
        }
    }

    #[test]
    fn a_word_is_where_its_place_says(words in proptest::collection::vec("[a-zä]{1,8}", 2..6), blank in " |\t|  | \\\\\n") {
        let source = format!("FROM a\nCOPY {}", words.join(&blank));
        let file = Dockerfile::parse(source.as_bytes()).unwrap();
        let Kind::Copy(copy) = &file.stages[0].instructions[0].kind else { panic!() };
        let lines: Vec<&str> = source.split('\n').collect();
        for word in copy.transfer.sources.iter().chain([&copy.transfer.destination]) {
            let line = lines[word.span.start.line as usize - 1];
            prop_assert_eq!(&line[word.span.start.column as usize..word.span.end.column as usize], word.text.as_str());
        }
    }
}
