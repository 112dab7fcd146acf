//! The default build, and what every build is followed by: its size, its further tags (autobuild.md, "Default build").

use slipway_types::{
    DockerTag,
    build::{FailureKind, Phase},
    protocol::BuildSpec,
};

use super::{
    Machine,
    buildkit::Progress,
    environment::{Environment, image_name},
    exec::{Program, how},
    failure::Failure,
};

/// Names that the CLI itself obeys: a build argument of such a name is given by value, not by environment.
const OBEYED: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GODEBUG",
    "GOMAXPROCS",
    "GOGC",
    "GOMEMLIMIT",
    "GOTRACEBACK",
];
const OBEYED_PREFIXES: &[&str] = &["DOCKER_", "BUILDKIT_", "BUILDX_", "COMPOSE_", "LD_", "OTEL_"];

/// Builds `IMAGE_NAME`.
pub(super) async fn build(machine: &Machine<'_>, environment: &Environment) -> Result<(), Failure> {
    let spec = machine.spec;
    let buildkit = machine.tools.buildkit
        && environment
            .get("DOCKER_BUILDKIT")
            .is_some_and(|value| value != "0");
    let arguments = arguments(machine, buildkit);
    machine
        .say
        .remark(Phase::Build, &format!("docker {}", arguments.join(" ")))
        .await;
    let mut program =
        Program::new(&machine.tools.docker, environment, &machine.layout.source).args(&arguments);
    for (name, value) in expanded(spec) {
        if is_obeyed(&name) {
            program = program.args(["--build-arg", &format!("{name}={value}")]);
        } else {
            // Without a value the CLI takes it from its environment: values of secrets are in no argument.
            program = program.args(["--build-arg", &name]).env(&name, value);
        }
    }
    if buildkit {
        program = program.args(secrets(spec));
    }
    program = program
        .env("DOCKER_BUILDKIT", if buildkit { "1" } else { "0" })
        .args([machine.paths.text.context.as_str()]);
    let progress = Progress::new(machine.began);
    let ran = program
        .watched(machine.say, Phase::Build, Some(progress.clone()))
        .await;
    let status = ran.map_err(|error| Failure::not_run("docker build", &error))?;
    if status.success() {
        return Ok(());
    }
    let why = progress
        .failure()
        .unwrap_or_else(|| format!("docker build ended with {}", how(status)));
    Err(failed(format!("The image could not be built: {why}")))
}

/// All arguments but build arguments and context.
fn arguments(machine: &Machine<'_>, buildkit: bool) -> Vec<String> {
    let (spec, rule) = (machine.spec, &machine.spec.rule);
    let image = image_name(spec);
    let mut arguments = vec![
        "build".to_owned(),
        "--pull".to_owned(),
        "-f".to_owned(),
        machine.paths.text.dockerfile.clone(),
        "-t".to_owned(),
        image.clone(),
    ];
    if buildkit {
        arguments.push("--progress=plain".to_owned());
    }
    if let Some(target) = &rule.target {
        arguments.push(format!("--target={target}"));
    }
    if !rule.platforms.is_empty() {
        arguments.push(format!("--platform={}", rule.platforms.join(",")));
    }
    if !rule.build_caching {
        arguments.push("--no-cache".to_owned());
    } else if !machine.options.keeps_layers {
        arguments.push(format!("--cache-from={image}"));
        arguments.extend(["--build-arg".to_owned(), "BUILDKIT_INLINE_CACHE=1".to_owned()]);
    }
    arguments
}

/// The build arguments with `${NAME}` replaced by the configured variable; of an unknown name, by nothing.
fn expanded(spec: &BuildSpec) -> Vec<(String, String)> {
    use secrecy::ExposeSecret;
    let value_of = |name: &str| {
        let variable = spec.variables.iter().find(|v| v.name == name);
        variable
            .map(|v| v.value.expose_secret().to_owned())
            .unwrap_or_default()
    };
    let arguments = spec.rule.build_args.iter();
    arguments
        .map(|(name, value)| (name.clone(), expand(value, value_of)))
        .collect()
}

/// Every configured variable can be mounted by its name (`RUN --mount=type=secret,id=NAME`), and leaves no trace in the
/// image. Not those whose name the CLI obeys or a build argument has: there the environment says something else.
fn secrets(spec: &BuildSpec) -> Vec<String> {
    let is_argument = |name: &str| spec.rule.build_args.iter().any(|(argument, _)| argument == name);
    let names = spec.variables.iter().map(|variable| &variable.name);
    let usable = names.filter(|name| !is_obeyed(name) && !is_argument(name));
    usable
        .map(|name| format!("--secret=id={name},env={name}"))
        .collect()
}

fn expand(text: &str, value_of: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, behind)) if is_name(name) => {
                out.push_str(&value_of(name));
                rest = behind;
            }
            _ => {
                out.push_str("${");
                rest = after;
            }
        }
    }
    out + rest
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_obeyed(name: &str) -> bool {
    let prefixed = OBEYED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    prefixed || OBEYED.contains(&name) || name.to_ascii_uppercase().ends_with("_PROXY")
}

/// Holds the built image to the plan, and gives it the tags that it does not have yet.
pub(super) async fn finish(machine: &Machine<'_>, by_hook: bool) -> Result<(), Failure> {
    let image = image_name(machine.spec);
    let Some(size) = machine.engine.size_of(&image).await? else {
        if by_hook {
            let text =
                format!("hooks/build did not build {image}: unless a hook does, there is nothing to push");
            machine.say.warn(Phase::Build, &text).await;
            return Ok(());
        }
        return Err(failed(format!("the build did not leave an image {image}")));
    };
    let most = machine.spec.limits.image_bytes;
    if size > most {
        return Err(failed(format!(
            "the image has {size} bytes, and the plan allows {most}: make it smaller, or ask for a larger plan"
        )));
    }
    let repository = machine.spec.image.docker_repo();
    let further = machine.spec.image.tags.iter().skip(1).map(DockerTag::as_str);
    for tag in further.chain(["this"]) {
        let name = format!("{repository}:{tag}");
        // A hook may have built another image for this tag.
        let theirs = by_hook && tag != "this" && machine.engine.size_of(&name).await?.is_some();
        if name == image || theirs {
            continue;
        }
        let said = machine.engine.ask(&["tag", &image, &name]).await?;
        if !said.status.success() {
            return Err(failed(format!(
                "the image could not be tagged {name}: {}",
                said.stderr
            )));
        }
    }
    Ok(())
}

/// Takes the build's tags from images of earlier builds, where the engine outlives the machine: what has a tag after the
/// build must be of this build. Layers stay.
pub(super) async fn forget_earlier(machine: &Machine<'_>) -> Result<(), Failure> {
    let repository = machine.spec.image.docker_repo();
    let tags = machine
        .spec
        .image
        .tags
        .iter()
        .map(DockerTag::as_str)
        .chain(["this"]);
    let images: Vec<String> = tags.map(|tag| format!("{repository}:{tag}")).collect();
    let mut arguments = vec!["image", "rm", "--no-prune", "--force"];
    arguments.extend(images.iter().map(String::as_str));
    // It complains about those that are not there, which is most of the time.
    machine.engine.ask(&arguments).await?;
    Ok(())
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::BUILD, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_arguments_refer_to_variables() {
        let value_of = |name: &str| {
            if name == "A" {
                "1".to_owned()
            } else {
                String::new()
            }
        };
        assert_eq!(expand("x${A}y${B}z", value_of), "x1yz");
        assert_eq!(expand("$A ${} ${1} ${A", value_of), "$A ${} ${1} ${A");
    }

    #[test]
    fn what_the_cli_obeys_is_not_given_by_environment() {
        for name in ["PATH", "DOCKER_HOST", "http_proxy", "BUILDKIT_SYNTAX"] {
            assert!(is_obeyed(name), "{name}");
        }
        assert!(!is_obeyed("VERSION") && !is_obeyed("GOOGLE_TOKEN"));
    }
}
