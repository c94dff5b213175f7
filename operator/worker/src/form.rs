//! What one version of an app consists of: components and static files, by route.

pub(crate) mod manifest;
mod plan;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use plan::Plan;

/// What one version of an app consists of, as it is kept on the volume beside its code and files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Form {
    /// Names of the components; empty for the one of an app that is nothing else.
    pub(crate) components: Vec<String>,
    /// Longest path first.
    pub(crate) routes: Vec<Route>,
    /// What `wasi:config` tells the components.
    pub(crate) config: BTreeMap<String, String>,
    /// Whether the app agrees that an instance answers several requests, one after the other.
    pub(crate) reuse: bool,
}

/// Where requests for a path and all below it go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// `/`, or `/a/b` without a slash at the end.
    pub(crate) path: String,
    /// What answers.
    pub(crate) target: Target,
}

/// What answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// The component at this place.
    Component(usize),
    /// Files by their paths below the route.
    Files(BTreeMap<String, StaticFile>),
}

/// One static file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StaticFile {
    /// Its CID, which is also its name on the volume.
    pub(crate) cid: String,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Form {
    /// The form of an app that is one component.
    pub(crate) fn bare() -> Self {
        let route = Route { path: "/".to_owned(), target: Target::Component(0) };
        // It cannot say: the operator's word counts.
        let reuse = true;
        Self { components: vec![String::new()], routes: vec![route], reuse, ..Self::default() }
    }

    /// The route of a request for `path`: the longest that is the path or one of its parents.
    pub(crate) fn route(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| {
            let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
            route.path == "/" || path.strip_prefix(route.path.as_str()).is_some_and(below)
        })
    }

    /// The shortest path that leads to the component at this place; each has one.
    pub(crate) fn path_of(&self, component: usize) -> &str {
        let mut routes = self.routes.iter().rev();
        let found = routes.find(|route| route.target == Target::Component(component));
        found.map_or("/", |route| &route.path)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Form, Route, Target};

    #[rstest]
    #[case::the_root("/", Some(2))]
    #[case::a_route("/api", Some(1))]
    #[case::below_a_route("/api/users", Some(1))]
    #[case::the_longer_one("/api/v2/users", Some(0))]
    #[case::whole_names_only("/api/v22", Some(1))]
    #[case::and_at_the_top_too("/apis", Some(2))]
    #[case::no_path_at_all("*", Some(2))]
    fn the_longest_route_of_whole_names_is_taken(
        #[case] path: &str,
        #[case] component: Option<usize>,
    ) {
        let routes = ["/api/v2", "/api", "/"].into_iter().enumerate();
        let routes =
            routes.map(|(at, path)| Route { path: path.to_owned(), target: Target::Component(at) });
        let form = Form { routes: routes.collect(), ..Form::default() };
        let found = form.route(path).map(|route| route.target.clone());
        assert_eq!(found, component.map(Target::Component));
    }
}
