//! Which request is which.

use http::Method;

use crate::error::Error;

/// A request that is served, with the object that its path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Ping,
    Version,
    Info,
    Login,
    Check,
    Events,
    ListContainers,
    CreateContainer,
    InspectContainer(String),
    Top(String),
    Logs(String),
    Changes(String),
    Commit,
    DiskUsage,
    Export(String),
    Start(String),
    Stop(String),
    Restart(String),
    Kill(String),
    Pause(String),
    Unpause(String),
    Rename(String),
    Resize(String),
    Wait(String),
    Remove(String),
    Attach(String),
    AttachWebsocket(String),
    CreateExec(String),
    StartExec(String),
    ResizeExec(String),
    InspectExec(String),
    /// What a registry has under this name.
    Distribution(String),
    ListImages,
    SearchImages,
    InspectImage(String),
    ImageHistory(String),
    TagImage(String),
    RemoveImage(String),
    Build,
    PruneBuilds,
    CancelBuild,
    LoadImages,
    SaveImages,
    SaveImage(String),
    ImageTree(String),
    PullImage,
    PushImage(String),
    PruneContainers,
    PruneImages,
    ListNetworks,
    CreateNetwork,
    InspectNetwork(String),
    RemoveNetwork(String),
    PruneNetworks,
    ConnectNetwork(String),
    DisconnectNetwork(String),
    PlanNetwork(String),
    ListVolumes,
    InspectVolume(String),
}

/// Finds the route of a request.
///
/// # Errors
/// [`Error::Unsupported`] for parts of the API that are not there, [`Error::PageNotFound`] for what is no part of it.
pub(super) fn resolve(method: &Method, path: &[&str]) -> Result<Route, Error> {
    served(method, path).ok_or_else(|| unsupported(path).map_or(Error::PageNotFound, Error::Unsupported))
}

fn served(method: &Method, path: &[&str]) -> Option<Route> {
    match method.as_str() {
        "GET" => get(path),
        "HEAD" => (path == ["_ping"]).then_some(Route::Ping),
        "POST" => post(path),
        "DELETE" => delete(path),
        _ => None,
    }
}

/// The names of images and of links have slashes of their own, so they can be several parts of the path.
fn get(path: &[&str]) -> Option<Route> {
    Some(match path {
        ["_ping"] => Route::Ping,
        ["version"] => Route::Version,
        ["info"] => Route::Info,
        ["events"] => Route::Events,
        ["system", "df"] => Route::DiskUsage,
        ["containers", "json"] => Route::ListContainers,
        ["containers", name @ .., "json"] if !name.is_empty() => Route::InspectContainer(name.join("/")),
        ["containers", name @ .., "top"] if !name.is_empty() => Route::Top(name.join("/")),
        ["containers", name @ .., "logs"] if !name.is_empty() => Route::Logs(name.join("/")),
        ["containers", name @ .., "changes"] if !name.is_empty() => Route::Changes(name.join("/")),
        ["containers", name @ .., "export"] if !name.is_empty() => Route::Export(name.join("/")),
        ["containers", name @ .., "attach", "ws"] if !name.is_empty() => {
            Route::AttachWebsocket(name.join("/"))
        }
        ["exec", id, "json"] => Route::InspectExec((*id).to_owned()),
        ["images", "json"] => Route::ListImages,
        ["images", "search"] => Route::SearchImages,
        ["images", "get"] => Route::SaveImages,
        ["images", name @ .., "get"] if !name.is_empty() => Route::SaveImage(name.join("/")),
        ["images", name @ .., "tree"] if !name.is_empty() => Route::ImageTree(name.join("/")),
        ["images", name @ .., "json"] => Route::InspectImage(name.join("/")),
        ["images", name @ .., "history"] if !name.is_empty() => Route::ImageHistory(name.join("/")),
        ["distribution", name @ .., "json"] if !name.is_empty() => Route::Distribution(name.join("/")),
        ["networks"] | ["networks", ""] => Route::ListNetworks,
        ["networks", id] => Route::InspectNetwork((*id).to_owned()),
        ["volumes"] => Route::ListVolumes,
        ["volumes", name @ ..] => Route::InspectVolume(name.join("/")),
        _ => return None,
    })
}

fn post(path: &[&str]) -> Option<Route> {
    Some(match path {
        ["auth"] => Route::Login,
        ["commit"] => Route::Commit,
        ["build"] => Route::Build,
        ["build", "prune"] => Route::PruneBuilds,
        ["build", "cancel"] => Route::CancelBuild,
        ["system", "check"] => Route::Check,
        ["containers", "create"] => Route::CreateContainer,
        ["containers", "prune"] => Route::PruneContainers,
        ["images", "prune"] => Route::PruneImages,
        ["containers", name @ .., "start"] if !name.is_empty() => Route::Start(name.join("/")),
        ["containers", name @ .., "stop"] if !name.is_empty() => Route::Stop(name.join("/")),
        ["containers", name @ .., "restart"] if !name.is_empty() => Route::Restart(name.join("/")),
        ["containers", name @ .., "kill"] if !name.is_empty() => Route::Kill(name.join("/")),
        ["containers", name @ .., "pause"] if !name.is_empty() => Route::Pause(name.join("/")),
        ["containers", name @ .., "unpause"] if !name.is_empty() => Route::Unpause(name.join("/")),
        ["containers", name @ .., "rename"] if !name.is_empty() => Route::Rename(name.join("/")),
        ["containers", name @ .., "resize"] if !name.is_empty() => Route::Resize(name.join("/")),
        ["containers", name @ .., "wait"] if !name.is_empty() => Route::Wait(name.join("/")),
        ["containers", name @ .., "attach"] if !name.is_empty() => Route::Attach(name.join("/")),
        ["containers", name @ .., "exec"] if !name.is_empty() => Route::CreateExec(name.join("/")),
        ["exec", id, "start"] => Route::StartExec((*id).to_owned()),
        ["exec", id, "resize"] => Route::ResizeExec((*id).to_owned()),
        ["images", "load"] => Route::LoadImages,
        ["images", "create"] => Route::PullImage,
        ["networks", "create"] => Route::CreateNetwork,
        ["networks", "prune"] => Route::PruneNetworks,
        ["networks", id, "connect"] => Route::ConnectNetwork((*id).to_owned()),
        ["networks", id, "disconnect"] => Route::DisconnectNetwork((*id).to_owned()),
        ["networks", id, "plan"] => Route::PlanNetwork((*id).to_owned()),
        ["images", name @ .., "push"] if !name.is_empty() => Route::PushImage(name.join("/")),
        ["images", name @ .., "tag"] if !name.is_empty() => Route::TagImage(name.join("/")),
        _ => return None,
    })
}

fn delete(path: &[&str]) -> Option<Route> {
    match path {
        ["containers", id] => Some(Route::Remove((*id).to_owned())),
        ["containers", owner, alias] | ["containers", "", owner, alias] => {
            Some(Route::Remove(format!("{owner}/{alias}")))
        }
        ["networks", id] => Some(Route::RemoveNetwork((*id).to_owned())),
        ["images", name @ ..] if !name.is_empty() => Some(Route::RemoveImage(name.join("/"))),
        _ => None,
    }
}

/// The parts of the API that are not served, in words.
fn unsupported(path: &[&str]) -> Option<&'static str> {
    Some(match path {
        ["session"] | ["grpc"] => "building with BuildKit",
        ["containers", _, "update"] => "updating a container",
        ["containers", _, "stats"] => "container statistics",
        ["containers", _, "archive"] => "copying files into or out of a container",
        ["containers", _, "checkpoints", ..] => "checkpoints",
        ["volumes", ..] => "making or removing volumes",
        ["plugins", ..] => "plugins",
        ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..] => "swarm mode",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &str) -> Result<Route, Error> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        resolve(&method, &segments)
    }

    #[test]
    fn image_name_may_have_slashes() {
        let inspect = route(Method::GET, "/images/localhost:5000/a/b:1/json").unwrap();
        assert_eq!(inspect, Route::InspectImage("localhost:5000/a/b:1".into()));
        let history = route(Method::GET, "/images/json/history").unwrap();
        assert_eq!(history, Route::ImageHistory("json".into()));
        assert_eq!(route(Method::DELETE, "/images/a/b").unwrap(), Route::RemoveImage("a/b".into()));
        assert_eq!(route(Method::POST, "/images/a/b/tag").unwrap(), Route::TagImage("a/b".into()));
    }

    #[test]
    fn link_has_a_name_of_two_parts() {
        let inspect = route(Method::GET, "/containers/web/db/json").unwrap();
        assert_eq!(inspect, Route::InspectContainer("web/db".into()));
        for path in ["/containers/web/db", "/containers//web/db"] {
            assert_eq!(route(Method::DELETE, path).unwrap(), Route::Remove("web/db".into()));
        }
        assert!(route(Method::DELETE, "/containers/web/checkpoints/one").is_err());
    }

    #[test]
    fn list_is_not_an_image_named_json() {
        assert_eq!(route(Method::GET, "/images/json").unwrap(), Route::ListImages);
        assert_eq!(route(Method::GET, "/containers/json").unwrap(), Route::ListContainers);
    }

    #[test]
    fn other_method_is_not_found() {
        assert!(matches!(route(Method::PUT, "/info"), Err(Error::PageNotFound)));
        assert!(matches!(route(Method::HEAD, "/info"), Err(Error::PageNotFound)));
        assert!(matches!(route(Method::GET, "/containers/a/start"), Err(Error::PageNotFound)));
    }

    #[test]
    fn unserved_part_is_named() {
        for (path, word) in
            [("/grpc", "BuildKit"), ("/services/create", "swarm"), ("/containers/a/stats", "statistics")]
        {
            let error = route(Method::POST, path).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(error.status(), http::StatusCode::NOT_IMPLEMENTED);
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in ["", "/", "/x", "/containers", "/containers/a", "/containers/a/b/c", "/images//history/x"]
        {
            assert!(matches!(route(Method::GET, path), Err(Error::PageNotFound)), "{path}");
        }
    }
}
