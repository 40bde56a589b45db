//! Whole plans.

use oci::{ContainerConfig, History};
use proptest::prelude::*;

use super::*;

fn base() -> BaseImage {
    let config = ContainerConfig {
        env: vec!["BASE=1".into()],
        cmd: Some(vec!["old".into()]),
        working_dir: "/w".into(),
        ..ContainerConfig::default()
    };
    let history = vec![History { created_by: "ADD x".into(), ..History::default() }];
    let config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        created: Some("2024-01-01T00:00:00Z".into()),
        docker_version: "1".into(),
        config: Some(config),
        history,
        ..ImageConfig::default()
    };
    BaseImage { config, digest: None }
}

fn amd64() -> Platform {
    Platform::new("linux", "amd64", None)
}

fn options() -> Options {
    Options { build_platform: amd64(), ..Options::default() }
}

fn with_args(args: &[(&str, &str)]) -> Options {
    let build_args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { build_args, ..options() }
}

/// All images have the same configuration, unless another one is given.
fn try_with(source: &str, mut options: Options) -> Result<Plan, Error> {
    let file = Dockerfile::parse(source.as_bytes())?;
    loop {
        match plan(&file, &options)? {
            Outcome::Needs(images) => {
                options.images.extend(images.into_iter().map(|image| (image.request, base())))
            }
            Outcome::Plan(plan) => return Ok(*plan),
        }
    }
}

fn planned_with(source: &str, options: Options) -> Plan {
    try_with(source, options).unwrap_or_else(|error| panic!("{}", error.render("Dockerfile", source)))
}

fn planned(source: &str) -> Plan {
    planned_with(source, options())
}

fn refused(source: &str) -> String {
    try_with(source, options()).map(|plan| plan.image).expect_err(source).to_string()
}

fn config(plan: &Plan) -> &ContainerConfig {
    plan.image.config.as_ref().unwrap()
}

/// Entries without those of the base.
fn history(source: &str) -> Vec<String> {
    planned(source).image.history.into_iter().skip(1).map(|step| step.created_by).collect()
}

fn runs(plan: &Plan) -> Vec<&Run> {
    let run = |vertex: &'_ Vertex| matches!(vertex.operation, Operation::Run(_));
    let found = plan.vertices.iter().filter(|vertex| run(vertex));
    found
        .map(|vertex| match &vertex.operation {
            Operation::Run(run) => run.as_ref(),
            _ => unreachable!("only commands are left"),
        })
        .collect()
}

fn copies(plan: &Plan) -> Vec<(&Vertex, &Copy)> {
    let copy = |vertex: &'_ Vertex| matches!(vertex.operation, Operation::Copy(_));
    let found = plan.vertices.iter().filter(|vertex| copy(vertex));
    found
        .map(|vertex| match &vertex.operation {
            Operation::Copy(copy) => (vertex, copy.as_ref()),
            _ => unreachable!("only copies are left"),
        })
        .collect()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.vertices.iter().map(|vertex| vertex.name.as_str()).collect()
}

#[test]
fn images_are_asked_for_before_there_is_a_plan() {
    let file = Dockerfile::parse(b"FROM a AS x\nFROM b:1\nCOPY --from=x / /\nCOPY --from=c / /\nFROM never")
        .unwrap();
    let options = Options { target: "1".into(), ..options() };
    let Ok(Outcome::Needs(images)) = plan(&file, &options) else { panic!() };
    let names: Vec<_> =
        images.iter().map(|image| (image.request.reference.as_str(), image.lines.first)).collect();
    assert_eq!(names, [("docker.io/library/a:latest", 1), ("docker.io/library/b:1", 2)]);
    let file = Dockerfile::parse(b"FROM a AS build\nFROM biuld").unwrap();
    let Ok(Outcome::Needs(images)) = plan(&file, &self::options()) else { panic!() };
    let error = images[0].error("not found");
    assert_eq!(
        (error.to_string().as_str(), error.lines),
        ("biuld: not found (did you mean build?)", Some(Lines::one(2)))
    );
}

#[test]
fn only_what_the_target_needs_is_planned() {
    for (source, target, expected) in [
        ("FROM a AS x\nFROM b AS y\nFROM c", "", vec![2]),
        ("FROM a AS x\nFROM b AS y\nFROM x", "", vec![0, 2]),
        ("FROM a AS x\nFROM b AS y\nFROM c\nCOPY --from=Y / /", "", vec![1, 2]),
        ("FROM a AS x\nFROM b\nFROM c\nCOPY --from=1 / /", "", vec![1, 2]),
        ("FROM a AS x\nFROM b AS y\nFROM c\nRUN --mount=from=x,target=/m true", "", vec![0, 2]),
        ("FROM a AS x\nFROM b AS y\nRUN bad ${\nFROM c", "X", vec![0]),
        ("FROM a\nFROM b\nFROM c", "1", vec![1]),
        ("FROM a AS x\nFROM X\n", "", vec![0, 1]),
        ("FROM a AS x\nONBUILD COPY --from=y / /\nFROM b AS z\nFROM x", "z", vec![1]),
        ("FROM a AS y\nFROM a AS x\nONBUILD COPY --from=y / /\nFROM x", "", vec![0, 1, 2]),
    ] {
        let plan = planned_with(source, Options { target: target.into(), ..options() });
        let numbers: Vec<_> = plan.stages.iter().map(|stage| stage.number).collect();
        assert_eq!(numbers, expected, "{source} {target}");
    }
}

#[test]
fn graph_has_named_inputs_in_order() {
    let plan = planned("FROM a AS b\nRUN make\nFROM scratch\nCOPY --from=b /out f <<E /d/\nx\nE\n");
    let expected = [
        "[b 1/2] FROM docker.io/library/a:latest",
        "[b 2/2] RUN make",
        "preparing inline document",
        "[internal] load build context",
        "[stage-1 1/1] COPY --from=b /out f <<E /d/",
    ];
    // A source of another stage is never one of the context.
    assert_eq!(names(&plan), [expected[0], expected[1], expected[2], expected[4]]);
    let (vertex, copy) = copies(&plan)[0];
    assert_eq!(vertex.input(Role::Base), None);
    assert_eq!(
        [vertex.input(Role::Source(0)), vertex.input(Role::Source(2))],
        [Some(VertexId(1)), Some(VertexId(2))]
    );
    assert_eq!((copy.destination.as_str(), plan.root), ("/d/", Some(VertexId(3))));
    assert!(
        plan.vertices
            .iter()
            .enumerate()
            .all(|(at, vertex)| vertex.inputs.iter().all(|input| input.vertex.0 < at))
    );
}

#[test]
fn equal_sources_are_one_vertex() {
    let plan = planned(
        "FROM a AS x\nCOPY f /\nADD https://h/x /\nFROM a\nCOPY f /\nADD https://h/x /\nCOPY --from=x / /\n",
    );
    let count = |name: &str| names(&plan).iter().filter(|found| found.contains(name)).count();
    assert_eq!((count("FROM"), count("load build context"), count("ADD https")), (1, 1, 3));
}

#[test]
fn history_is_as_buildkit_writes_it() {
    for (instruction, expected) in [
        ("ENV a=b c=\"d e\"", "ENV a=b c=d e"),
        ("LABEL a=b", "LABEL a=b"),
        ("CMD [\"a\", \"b c\"]", "CMD [\"a\" \"b c\"]"),
        ("CMD a b", "CMD [\"/bin/sh\" \"-c\" \"a b\"]"),
        ("ENTRYPOINT [\"a\"]", "ENTRYPOINT [\"a\"]"),
        ("EXPOSE 80 8000-8001/udp", "EXPOSE [80/tcp 8000/udp 8001/udp]"),
        ("USER u", "USER u"),
        ("VOLUME /a /b", "VOLUME [/a /b]"),
        ("WORKDIR x", "WORKDIR /w/x"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ("SHELL [\"a\", \"-c\"]", "SHELL [a -c]"),
        ("MAINTAINER m", "MAINTAINER m"),
        ("ARG x", "ARG x"),
        ("ARG x=1 y", "ARG x=1 y"),
        (
            "HEALTHCHECK --interval=5s CMD curl x",
            "HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        ),
        (
            "HEALTHCHECK NONE",
            "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        ),
        ("RUN a && b", "RUN /bin/sh -c a && b # buildkit"),
        ("RUN [\"a\", \"b\"]", "RUN a b # buildkit"),
        ("RUN <<E\nx\ny\nE", "RUN /bin/sh -c x\ny\n # buildkit"),
        ("RUN cat <<E\nx\nE", "RUN /bin/sh -c cat <<E\nx\nE # buildkit"),
        ("RUN <<E\n#!/x\nE", "RUN /bin/sh -c /dev/pipes/E # buildkit"),
        ("COPY --chown=1:2 --chmod=7 a b /c", "COPY --chown=1:2 --chmod=7 a b /c # buildkit"),
        ("COPY <<E /c\nE", "COPY <<E /c # buildkit"),
        ("ADD a .", "ADD a . # buildkit"),
    ] {
        assert_eq!(history(&format!("FROM a\n{instruction}")), [expected], "{instruction}");
    }
    assert!(history("FROM a\nONBUILD RUN x").is_empty());
    let plan = planned("FROM a\nRUN x\nUSER u\nWORKDIR /\nWORKDIR /y");
    let empty: Vec<_> = plan.image.history.iter().skip(1).map(|step| step.empty_layer).collect();
    assert_eq!(empty, [false, true, true, false]);
    assert!(plan.image.history.iter().skip(1).all(|step| step.comment == "buildkit.dockerfile.v0"));
}

#[test]
fn arguments_are_in_the_environment_and_history_of_commands() {
    let source = "ARG G=global\nARG H\nFROM a\nARG A=1\nARG G\nARG H\nENV E=$A$G\nARG A=2\nRUN x";
    let plan = planned_with(source, with_args(&[("H", "given"), ("unused", "x")]));
    let environment = &runs(&plan)[0].environment;
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(environment[..], ["BASE=1", path, "A=2", "G=global", "H=given", "E=1global"]);
    assert_eq!(config(&plan).env, ["BASE=1", path, "E=1global"]);
    let last = &plan.image.history.last().unwrap().created_by;
    assert_eq!(last, "RUN |3 A=2 G=global H=given /bin/sh -c x # buildkit");
}

#[test]
fn arguments_have_values_by_where_they_are_given() {
    for (source, args, expected) in [
        ("FROM a\nARG x=1\nUSER $x", &[][..], "1"),
        ("FROM a\nARG x=1\nUSER $x", &[("x", "2")][..], "2"),
        ("ARG x=1\nFROM a\nUSER u$x", &[][..], "u"),
        ("ARG x=1\nFROM a\nARG x\nUSER $x", &[][..], "1"),
        ("ARG x=1\nFROM a\nARG x=3\nUSER $x", &[][..], "3"),
        ("FROM a\nARG x\nUSER u$x", &[][..], "u"),
        ("FROM a\nENV x=1\nARG x=2\nUSER $x", &[][..], "2"),
        ("FROM a\nARG x=2\nENV x=1\nUSER $x", &[][..], "1"),
        ("FROM a\nARG TARGETARCH\nUSER $TARGETARCH", &[][..], "amd64"),
        ("FROM a\nARG TARGETARCH\nUSER $TARGETARCH", &[("TARGETARCH", "x")][..], "x"),
        ("FROM a\nUSER u$TARGETARCH", &[][..], "u"),
        ("FROM a AS s\nARG TARGETSTAGE\nUSER $TARGETSTAGE", &[][..], "s"),
        ("FROM a\nARG x=1\nENV y=$x x=2 z=$x\nUSER $y$z", &[][..], "11"),
        ("FROM a AS s\nARG x=1\nFROM s\nUSER u$x", &[][..], "u1"),
        ("FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE=1\nUSER u$BUILDKIT_SBOM_SCAN_STAGE", &[][..], "u"),
        ("FROM a\nARG x='a b'\nUSER $x", &[][..], "a b"),
        ("ARG a=1\nARG b=${a}2\nFROM x\nARG b\nUSER $b", &[][..], "12"),
    ] {
        assert_eq!(config(&planned_with(source, with_args(args))).user, expected, "{source} {args:?}");
    }
}

#[test]
fn base_is_a_name_with_variables() {
    for (source, expected) in [
        ("ARG v=1\nFROM a:$v", "docker.io/library/a:1"),
        ("ARG v\nFROM a:${v:-2}", "docker.io/library/a:2"),
        (
            "FROM h:5000/a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "h:5000/a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("FROM $BUILDOS", "docker.io/library/linux:latest"),
    ] {
        let plan = planned(source);
        let Operation::Image { reference, platform } = &plan.vertices[0].operation else { panic!() };
        assert_eq!((reference.as_str(), platform.as_str()), (expected, "linux/amd64"), "{source}");
    }
    let plan = planned("FROM --platform=linux/arm64/v8 a");
    assert!(
        matches!(&plan.vertices[0].operation, Operation::Image { platform, .. } if platform == "linux/arm64")
    );
}

#[test]
fn entry_point_drops_the_command_of_the_base_only() {
    assert_eq!(config(&planned("FROM a\nENTRYPOINT [\"e\"]")).cmd, None);
    assert_eq!(config(&planned("FROM a\nCMD [\"c\"]\nENTRYPOINT [\"e\"]")).cmd.as_deref().unwrap(), ["c"]);
    assert_eq!(config(&planned("FROM a AS b\nCMD [\"c\"]\nFROM b\nENTRYPOINT [\"e\"]")).cmd, None);
    assert_eq!(config(&planned("FROM a\nUSER u")).cmd.as_deref().unwrap(), ["old"]);
}

#[test]
fn configuration_has_nothing_of_when_the_base_was_made() {
    let plan =
        planned_with("FROM a\nLABEL x=1", Options { labels: [("y".into(), "2".into())].into(), ..options() });
    assert_eq!((plan.image.created.as_ref(), plan.image.docker_version.as_str()), (None, ""));
    let labels: Vec<_> = config(&plan).labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["x=1", "y=2"]);
    let scratch = planned("FROM scratch\nCMD [\"/x\"]");
    assert_eq!((scratch.root, config(&scratch).working_dir.as_str()), (None, "/"));
    assert!(config(&scratch).env[0].starts_with("PATH=/usr/local/sbin"));
}

#[test]
fn triggers_come_first_and_are_not_inherited() {
    let source = "FROM a AS b\nONBUILD ENV x=1\nONBUILD RUN <<E\nmake\nE\nFROM b AS c\nUSER $x\nFROM c";
    let plan = planned(source);
    let codes: Vec<_> =
        plan.stages[1].steps.iter().map(|step| (step.code.as_str(), step.is_trigger)).collect();
    assert_eq!(codes, [("ENV x=1", true), ("RUN <<E", true), ("USER $x", false)]);
    assert_eq!(config(&plan).user, "1");
    assert!(plan.stages[2].steps.is_empty() && config(&plan).on_build.is_empty());
    let only = planned_with(source, Options { target: "b".into(), ..options() });
    assert_eq!(config(&only).on_build, ["ENV x=1", "RUN <<E\nmake\nE"]);
}

#[test]
fn triggers_of_an_image_are_instructions() {
    let request = ImageRequest { reference: "docker.io/library/a:latest".into(), platform: amd64() };
    let with = |triggers: &[&str]| {
        let mut image = base();
        let triggers = triggers.iter().map(|&text| text.to_owned()).collect();
        image.config.config.get_or_insert_default().on_build = triggers;
        Options { images: [(request.clone(), image)].into(), ..options() }
    };
    let plan = planned_with("FROM a\nUSER u", with(&["COPY --from=other . /x", "RUN y"]));
    assert_eq!(plan.stages[0].steps.len(), 3);
    assert_eq!(plan.vertices.iter().filter(|vertex| vertex.name.contains("ONBUILD")).count(), 2);
    for (trigger, expected) in [
        ("NONSENSE x", "unknown instruction: NONSENSE"),
        ("FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("RUN x\nRUN y", "onbuild trigger should be a single expression"),
        ("", "onbuild trigger should be a single expression"),
    ] {
        let error = try_with("\nFROM a\nUSER u", with(&[trigger])).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.lines), (expected, Some(Lines::one(2))), "{trigger}");
    }
}

#[test]
fn mounts_have_their_defaults() {
    let source = "FROM a AS s\nFROM a\nRUN --mount=target=. --mount=type=cache,target=/c/../d --mount=from=s,src=x,dst=/y,rw \
                  --mount=type=tmpfs,target=/t,size=1k --mount=type=secret,id=a/b,env=S --mount=type=secret,target=k \
                  --mount=type=ssh,required --mount=type=cache,from=s,target=/e,id=$BASE,sharing=locked make";
    let plan = planned(source);
    let owner = |mode| Owner { uid: 0, gid: 0, mode };
    let root = || "/".to_owned();
    let expected = vec![
        RunMount::Bind { source: root(), target: "/w".into(), is_read_only: true },
        RunMount::Cache {
            id: "/d".into(),
            sharing: crate::mount::Sharing::Shared,
            source: root(),
            target: "/d".into(),
            is_read_only: false,
            owner: owner(0o755),
        },
        RunMount::Bind { source: "/x".into(), target: "/y".into(), is_read_only: false },
        RunMount::Tmpfs { target: "/t".into(), size: 1024 },
        RunMount::Secret {
            id: "a/b".into(),
            target: None,
            variable: Some("S".into()),
            is_required: false,
            owner: owner(0o400),
        },
        RunMount::Secret {
            id: "k".into(),
            target: Some("/w/k".into()),
            variable: None,
            is_required: false,
            owner: owner(0o400),
        },
        RunMount::Ssh { id: "default".into(), target: None, is_required: true, owner: owner(0o600) },
        RunMount::Cache {
            id: "1".into(),
            sharing: crate::mount::Sharing::Locked,
            source: root(),
            target: "/e".into(),
            is_read_only: false,
            owner: owner(0o755),
        },
    ];
    assert_eq!(runs(&plan)[0].mounts, expected);
    let vertex = plan.vertices.last().unwrap();
    let roles: Vec<_> = vertex.inputs.iter().map(|input| input.role).collect();
    assert_eq!(roles, [Role::Base, Role::Mount(0), Role::Mount(2), Role::Mount(7)]);
}

#[test]
fn sources_are_selected_by_their_form() {
    let pattern = |path: &str| Selection::Pattern(path.to_owned());
    let parents =
        |root: &str, pattern: &str| Selection::Parents { root: root.into(), pattern: pattern.into() };
    for (instruction, destination, expected) in [
        ("COPY a ../b* /c", "/c", vec![(pattern("/a"), false), (pattern("/b*"), false)]),
        ("COPY . .", "/w/", vec![(pattern("/"), false)]),
        ("COPY a d/", "/w/d/", vec![(pattern("/a"), false)]),
        ("COPY a /", "/", vec![(pattern("/a"), false)]),
        ("ADD a.tar /c/.", "/c/", vec![(pattern("/a.tar"), true)]),
        ("ADD --unpack=false a.tar /c", "/c", vec![(pattern("/a.tar"), false)]),
        ("ADD https://h/a.tar /c", "/c", vec![(Selection::File("a.tar".into()), false)]),
        ("ADD --unpack https://h/a.tar /c", "/c", vec![(Selection::File("a.tar".into()), true)]),
        ("ADD https://h/a.git#v1 /c", "/c", vec![(Selection::All, false)]),
        (
            "COPY --parents a/b x/./y/* /c",
            "/c",
            vec![(parents("/", "a/b"), false), (parents("/x", "y/*"), false)],
        ),
        ("COPY <<f /c/\nx\nf", "/c/", vec![(Selection::File("f".into()), false)]),
    ] {
        let plan = planned(&format!("FROM a\n{instruction}"));
        let (_, copy) = copies(&plan)[0];
        let sources: Vec<_> =
            copy.sources.iter().map(|source| (source.selection.clone(), source.unpacks)).collect();
        assert_eq!((copy.destination.as_str(), sources), (destination, expected), "{instruction}");
    }
    let plan = planned("FROM a\nCOPY <<a <<'b' /c/\n$BASE \"x\"\na\n$BASE\nb");
    let contents = plan.vertices.iter().filter_map(|vertex| match &vertex.operation {
        Operation::File { content, .. } => Some(content.as_str()),
        _ => None,
    });
    assert_eq!(contents.collect::<Vec<_>>(), ["1 \"x\"\n", "$BASE\n"]);
}

#[test]
fn named_contexts_replace_stages_and_images() {
    let contexts = |name: &str, context: NamedContext| Options {
        contexts: [(name.to_owned(), context)].into(),
        ..options()
    };
    let plan =
        planned_with("FROM alpine:latest\nRUN x", contexts("alpine", NamedContext::Image("b:2".into())));
    assert!(
        matches!(&plan.vertices[0].operation, Operation::Image { reference, .. } if reference == "docker.io/library/b:2")
    );
    let plan = planned_with(
        "FROM a AS s\nRUN never\nFROM scratch\nCOPY --from=s / /",
        contexts("s", NamedContext::Files),
    );
    assert!(matches!(&plan.vertices[0].operation, Operation::Context { name } if name == "s"));
    assert_eq!((plan.vertices.len(), plan.stages[0].steps.len()), (2, 0));
    let plan = planned_with("FROM scratch\nCOPY --from=src / /", contexts("src", NamedContext::Files));
    assert_eq!(plan.vertices.len(), 2);
    assert_eq!(planned_with("FROM a", contexts("a", NamedContext::Scratch)).root, None);
}

#[test]
fn folder_becomes_a_root_file_system_where_one_is_needed() {
    let options = || Options { contexts: [("a".to_owned(), NamedContext::Files)].into(), ..options() };
    let is_copy = |vertex: &Vertex| matches!(vertex.operation, Operation::Copy(_));
    let plan = planned_with("FROM a", options());
    assert_eq!((plan.vertices.len(), plan.root), (2, Some(VertexId(1))));
    assert!(is_copy(&plan.vertices[1]) && plan.vertices[1].inputs[0].role == Role::Source(0));
    assert_eq!(plan.image.history[0].created_by, "FROM a");
    assert!(!plan.image.history[0].empty_layer);
    let plan = planned_with("FROM a\nRUN x", options());
    assert_eq!(plan.vertices.len(), 3);
    assert_eq!(plan.vertices[2].inputs, [Input { role: Role::Base, vertex: VertexId(1) }]);
    let plan = planned_with("FROM a AS s\nFROM b\nRUN --mount=from=s,target=/m x", options());
    assert!(!plan.vertices.iter().any(is_copy));
}

#[test]
fn keys_change_with_what_decides_the_result_only() {
    let copy = |source: &str| planned(&format!("FROM a\nCOPY {source} /d")).vertices.pop().unwrap().operation;
    assert_ne!(copy("a/x").digest(), copy("b/x").digest());
    assert_eq!(copy("a/x").by_content().digest(), copy("b/x").by_content().digest());
    assert_ne!(copy("a/x").by_content().digest(), copy("a/y").by_content().digest());
    let digest = |source: &str, options: Options| {
        let plan = planned_with(source, options);
        plan.vertices.last().unwrap().operation.digest()
    };
    let before = digest("FROM a\nARG x\nRUN y", options());
    assert_eq!(before, digest("FROM a AS n\n# z\nARG   x\nrun y", options()));
    assert_eq!(before, digest("FROM a\nARG x\nRUN y", with_args(&[("http_proxy", "p"), ("unused", "1")])));
    for (source, args) in [
        ("FROM a\nARG x\nRUN y", &[("x", "1")][..]),
        ("FROM a\nARG x\nRUN z", &[]),
        ("FROM a\nARG x\nUSER u\nRUN y", &[]),
        ("FROM a\nARG x\nWORKDIR /v\nRUN y", &[]),
        ("FROM a\nARG x\nRUN --network=none y", &[]),
        ("FROM a\nARG x\nRUN --mount=type=tmpfs,target=/t y", &[]),
    ] {
        assert_ne!(before, digest(source, with_args(args)), "{source} {args:?}");
    }
    assert_eq!(
        planned_with("FROM a", with_args(&[("HTTP_PROXY", "p")])).proxies,
        [("HTTP_PROXY".into(), "p".into())]
    );
}

#[test]
fn what_cannot_be_planned_is_refused() {
    for (source, expected) in [
        ("ARG v\nFROM $v", "base name ($v) should not be blank"),
        (
            "FROM a/B",
            "failed to parse stage name \"a/B\": invalid reference format: repository name (a/B) must be lowercase",
        ),
        ("FROM --platform=$x a", "empty platform value from expression $x"),
        ("FROM a:${v", "failed to process \"a:${v\": syntax error: missing '}'"),
        ("FROM a\nCOPY --from=7 / /", "invalid stage index 7"),
        ("FROM a\nCOPY --from=-1 / /", "invalid stage index -1"),
        ("FROM a AS b\nCOPY --from=b / /", "circular dependency detected on stage: b"),
        (
            "FROM a AS b\nCOPY --from=c / /\nFROM a AS c\nRUN --mount=from=b,target=/x y",
            "circular dependency detected on stage: b",
        ),
        (
            "FROM a\nCOPY --from=c / /\nFROM a AS c\nFROM 0x\nCOPY --from=0 / /",
            "cannot copy from stage \"c\", it needs to be defined before current stage \"stage-0\"",
        ),
        (
            "FROM a AS b\nRUN --mount=from=c,target=/x y\nFROM a AS c\nFROM b",
            "cannot mount from stage \"c\" to \"/x\", stage needs to be defined before current command",
        ),
        (
            "FROM a\nCOPY --from=$x / /",
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
        (
            "FROM a\nCOPY --chmod=999 a b",
            "invalid chmod parameter: '999'. it should be octal string and between 0 and 07777",
        ),
        ("FROM a\nADD --checksum=sha256:x a b", "checksum requires HTTP(S) or Git sources"),
        (
            "FROM a\nADD --checksum=sha256:x https://a/b https://c/d e/",
            "checksum can't be specified for multiple sources",
        ),
        ("FROM a\nCOPY https://h/a /", "source can't be a URL for COPY"),
        ("FROM a\nCOPY https://h/a.git /", "source can't be a git ref for COPY"),
        ("FROM a\nCOPY <<a/b /\nx\na/b", "\"a/b\" cannot be the name of a file"),
        ("FROM a\nUSER ${x:?must be there}", "failed to process \"${x:?must be there}\": x: must be there"),
        ("FROM a\nSTOPSIGNAL nope", "invalid signal: nope"),
        ("FROM a\nEXPOSE x", "invalid containerPort: x"),
        ("FROM a\nRUN --mount=type=x,target=/a y", "unsupported mount type \"x\""),
        ("FROM a\nRUN --mount=target=/ y", "invalid mount target \"/\""),
        ("FROM a\nRUN [\"x\"] <<E\nE", "unexpected"),
        ("#check=error=true\nFROM a AS B", "lint violation found for rules: StageNameCasing"),
        ("#check=nope\nFROM a", "failed to parse check options: invalid check option \"nope\""),
    ] {
        if expected == "unexpected" {
            // It is a text for the shell then.
            assert_eq!(runs(&planned(source))[0].arguments[2], "[\"x\"] <<E\nE");
        } else {
            assert_eq!(refused(source), expected, "{source}");
        }
    }
    let error = |target: &str| {
        try_with("FROM a AS build", Options { target: target.into(), ..options() }).unwrap_err()
    };
    assert_eq!(error("biuld").to_string(), "target stage \"biuld\" could not be found (did you mean build?)");
    assert_eq!(error("9").to_string(), "target stage \"9\" could not be found");
    assert_eq!(
        try_with("FROM a", with_args(&[("SOURCE_DATE_EPOCH", "x")])).unwrap_err().to_string(),
        "invalid SOURCE_DATE_EPOCH: x"
    );
}

#[test]
fn image_that_was_meant_to_be_a_stage_has_a_hint() {
    let source = "FROM a AS build\nFROM scratch\nCOPY --from=biuld / /\n";
    let file = Dockerfile::parse(source.as_bytes()).unwrap();
    let error = planned(source).image_error(&file, VertexId(0), "not found");
    assert_eq!(
        (error.to_string().as_str(), error.lines),
        ("biuld: not found (did you mean build?)", Some(Lines::one(3)))
    );
}

#[test]
fn errors_of_words_have_their_place() {
    let source = "FROM a\nCOPY a \\\n  ${x:?no} /\n";
    let error = try_with(source, options()).unwrap_err();
    assert!(
        error.render("D", source).contains("   3 | >>>   ${x:?no} /\n     |       ^^^^^^^^\n"),
        "{}",
        error.render("D", source)
    );
}

#[test]
fn variables_that_grow_have_an_end() {
    let mut source = "FROM a\nENV x=aaaaaaaaaaaaaaaa\n".to_owned();
    source.push_str(&"ENV x=$x$x\n".repeat(60));
    assert!(refused(&source).ends_with("variables expand to too much text"));
    let chain: String = (1..3000)
        .map(|number| format!("FROM s{} AS s{number}\nENV a{number}={}\n", number - 1, "x".repeat(99)))
        .collect();
    assert!(refused(&format!("FROM a AS s0\n{chain}")).ends_with("variables expand to too much text"));
    let triggers = format!("FROM a AS b\n{}{}", "ONBUILD USER u\n".repeat(500), "FROM b\n".repeat(500));
    assert!(try_with(&triggers, Options { all_stages: true, ..options() }).is_err());
    assert_eq!(refused(&format!("FROM a\nEXPOSE {}", "0-65535 ".repeat(100))), "too many ports");
}

/// A file, the rule that finds something in it, and what that says.
const FINDINGS: [(&str, &str, &str); 22] = [
    ("FROM a AS B", "StageNameCasing", "Stage name 'B' should be lowercase"),
    ("FROM a as b", "FromAsCasing", "'as' and 'FROM' keywords' casing do not match"),
    ("FROM a\nRUN x \\\n\n y", "NoEmptyContinuation", "Empty continuation line"),
    (
        "FROM a\nrun x\nUSER u",
        "ConsistentInstructionCasing",
        "Command 'run' should match the case of the command majority (uppercase)",
    ),
    (
        "FROM a AS b\nFROM a AS b",
        "DuplicateStageName",
        "Duplicate stage name \"b\", stage names should be unique",
    ),
    (
        "FROM a AS scratch",
        "ReservedStageName",
        "Stage name should not use the same name as reserved stage \"scratch\"",
    ),
    (
        "FROM a\nCMD x",
        "JSONArgsRecommended",
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
    ),
    (
        "FROM a\nMAINTAINER x",
        "MaintainerDeprecated",
        "Maintainer instruction is deprecated in favor of using label",
    ),
    (
        "ARG version=1\nFROM a:x$verion",
        "UndefinedArgInFrom",
        "FROM argument 'verion' is not declared (did you mean version?)",
    ),
    (
        "FROM a\nWORKDIR x",
        "WorkdirRelativePath",
        "Relative workdir \"x\" can have unexpected results if the base image changes",
    ),
    (
        "FROM a\nENV foo=1\nUSER u$fo",
        "UndefinedVar",
        "Usage of undefined variable '$fo' (did you mean $foo?)",
    ),
    (
        "FROM a\nCMD [\"x\"]\nCMD [\"y\"]",
        "MultipleInstructionsDisallowed",
        "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
    ),
    (
        "FROM a\nENV x y",
        "LegacyKeyValueFormat",
        "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
    ),
    (
        "FROM --platform=linux/arm64 a AS arm64",
        "InvalidBaseImagePlatform",
        "Base image a was pulled with platform \"linux/amd64\", expected \"linux/arm64\" for current build",
    ),
    (
        "FROM --platform=$TARGETPLATFORM a",
        "RedundantTargetPlatform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ),
    (
        "FROM a\nARG API_KEY",
        "SecretsUsedInArgOrEnv",
        "Do not use ARG or ENV instructions for sensitive data (ARG \"API_KEY\")",
    ),
    (
        "ARG v\nFROM a:$v",
        "InvalidDefaultArgInFrom",
        "Default value for ARG a:$v results in empty or invalid base image name",
    ),
    (
        "FROM --platform=linux/amd64 a",
        "FromPlatformFlagConstDisallowed",
        "FROM --platform flag should not use constant value \"linux/amd64\"",
    ),
    (
        "FROM a\nCOPY ignored/x /",
        "CopyIgnoredFile",
        "Attempting to Copy file \"ignored/x\" that is excluded by .dockerignore",
    ),
    (
        "# check=experimental=all\nFROM a\n# other\nARG x",
        "InvalidDefinitionDescription",
        "Comment for ARG should follow the format: `# x <description>`",
    ),
    (
        "FROM a\nEXPOSE 80/TCP",
        "ExposeProtoCasing",
        "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
    ),
    (
        "FROM a\nEXPOSE 127.0.0.1:80:80",
        "ExposeInvalidFormat",
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
    ),
];

#[test]
fn rules_find_what_they_are_for() {
    for (source, rule, detail) in FINDINGS {
        let options =
            Options { ignore: Some(Matcher::parse(b"ignored").unwrap()), ..with_args(&[("v", "1")]) };
        let found: Vec<_> = planned_with(source, options).warnings;
        let found: Vec<_> =
            found.iter().map(|warning| (warning.rule.name(), warning.detail.as_str())).collect();
        assert_eq!(found, [(rule, detail)], "{source}");
    }
}

#[test]
fn good_files_have_no_warnings() {
    for source in [
        "ARG V=1\nFROM a:$V AS b\nARG X\nENV Y=$X$BASE\nWORKDIR /x\nWORKDIR y\nCOPY . .\nRUN z $undefined\nCMD [\"c\"]",
        "from a as b\nrun x\nfrom b\ncmd [\"x\"]",
        "FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nRUN x",
        "FROM a\nENV PUBLIC_KEY=1 TOKEN_FILE=2\nSHELL [\"x\"]\nCMD y",
        "# check=skip=StageNameCasing\nFROM a AS B",
        "FROM a\n# check=skip=JSONArgsRecommended\nCMD x",
    ] {
        assert_eq!(planned(source).warnings, [], "{source}");
    }
}

#[test]
fn checks_look_at_all_stages_and_need_no_images() {
    let report = check("Dockerfile", b"FROM a AS B\nCMD x\nFROM b\nUSER $nope\n", &options());
    let rules: Vec<_> = report.warnings.iter().map(|warning| warning.rule.name()).collect();
    assert_eq!((rules, report.status()), (vec!["StageNameCasing", "JSONArgsRecommended", "UndefinedVar"], 1));
    let report = check("Dockerfile", b"FROM a AS B\nEXPOSE x\n", &options());
    assert_eq!(
        (report.warnings.len(), report.error.unwrap().message),
        (1, "invalid containerPort: x".to_owned())
    );
    assert!(check("Dockerfile", b"FORM a", &options()).error.is_some());
}

proptest! {
    #[test]
    fn any_file_is_planned_without_panic(
        lines in proptest::collection::vec(
            "FROM (a|s|scratch|\\$G|0)( AS [sabB])?|(RUN|COPY|ADD|ENV|ARG|CMD|LABEL|EXPOSE|ONBUILD|VOLUME|WORKDIR|USER) \
             (--(from|mount|chmod|platform|chown)=[a-s0-9=,/]{0,8} )?[a-zA-Z0-9=$\\\\{}:/ .-]{0,24}",
            0..12,
        ),
    ) {
        let source = format!("ARG G=a\nFROM a AS s\n{}", lines.join("\n"));
        if let Ok(plan) = try_with(&source, options()) {
            let before = |(at, vertex): (usize, &Vertex)| vertex.inputs.iter().all(|input| input.vertex.0 < at);
            prop_assert!(plan.vertices.iter().enumerate().all(before));
            prop_assert!(plan.root.is_none_or(|root| root.0 < plan.vertices.len()));
        }
        let _ = check("f", source.as_bytes(), &options()).text();
    }
}
