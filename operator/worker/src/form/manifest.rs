//! `coreward.yaml`: what an app that is a directory says of itself.

use core::fmt;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// Name of the file, at the top of the directory.
pub(crate) const NAME: &str = "coreward.yaml";
/// Its bytes. Small, since what it says may be repeated by reference within it.
const BYTES: usize = 16 << 10;
/// Components of one app.
const COMPONENTS: usize = 8;
/// Routes of one app.
const ROUTES: usize = 64;
/// Bytes of a route's path.
const PATH_BYTES: usize = 256;
/// Keys of the configuration.
const CONFIG_KEYS: usize = 128;
/// Bytes of all its keys and values.
const CONFIG_BYTES: usize = 16 << 10;
/// Bytes of a component's name, and of a key.
const NAME_BYTES: usize = 64;

/// The manifest, well-formed; whether its files are there is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// File of each component.
    #[serde(default, deserialize_with = "unique")]
    pub(crate) components: BTreeMap<String, String>,
    /// At least one.
    pub(crate) routes: Vec<Route>,
    /// For `wasi:config`.
    #[serde(default, deserialize_with = "unique")]
    pub(crate) config: BTreeMap<String, String>,
    /// Whether the app agrees that an instance answers several requests.
    #[serde(default)]
    pub(crate) reuse: bool,
}

/// One route; exactly one of its two targets is set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// The path that it is for, with all below.
    pub(crate) path: String,
    /// A component's name.
    #[serde(default)]
    pub(crate) component: Option<String>,
    /// A directory of static files.
    #[serde(default, rename = "static")]
    pub(crate) files: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// What is wrong with which field, for the developer.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > BYTES {
            return Err(format!("{NAME}: {} bytes; up to {BYTES} are read", bytes.len()));
        }
        let read: Result<Self, _> = serde_yaml::from_slice(bytes);
        let manifest = read.map_err(|error| format!("{NAME}: {error}"))?;
        manifest.check().map_err(|reason| format!("{NAME}: {reason}"))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        at_most("components", self.components.len(), COMPONENTS)?;
        at_most("routes", self.routes.len(), ROUTES)?;
        at_most("config", self.config.len(), CONFIG_KEYS)?;
        if self.routes.is_empty() {
            return Err("routes: at least one is needed, e.g. `path: /`".to_owned());
        }
        for (name, file) in &self.components {
            check_name("components", name)?;
            check_file(&format!("components.{name}"), file)?;
        }
        for key in self.config.keys() {
            check_name("config", key)?;
        }
        let bytes: usize = self.config.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > CONFIG_BYTES {
            return Err(format!("config: {bytes} bytes; up to {CONFIG_BYTES} are told"));
        }
        self.check_routes()
    }

    fn check_routes(&self) -> Result<(), String> {
        for (at, route) in self.routes.iter().enumerate() {
            let field = format!("routes[{at}]");
            check_path(&field, &route.path)?;
            if self.routes[..at].iter().any(|other| other.path == route.path) {
                return Err(format!("{field}.path: `{}` has a route already", route.path));
            }
            match (&route.component, &route.files) {
                (Some(name), None) if self.components.contains_key(name) => {}
                (Some(name), None) => {
                    return Err(format!("{field}.component: there is no component `{name}`"));
                }
                (None, Some(directory)) => check_file(&format!("{field}.static"), directory)?,
                (None, None) | (Some(_), Some(_)) => {
                    return Err(format!("{field}: give it either `component` or `static`"));
                }
            }
        }
        let is_reached =
            |name| self.routes.iter().any(|route| route.component.as_ref() == Some(name));
        match self.components.keys().find(|name| !is_reached(name)) {
            Some(name) => Err(format!("components.{name}: no route leads to it")),
            None => Ok(()),
        }
    }
}

fn at_most(field: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most {
        Err(format!("{field}: {count} of them; up to {most} can be"))
    } else {
        Ok(())
    }
}

fn check_name(field: &str, name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "{field}: {name:?} is no name: use 1 to {NAME_BYTES} letters, digits, `-`, `_` and `.`"
    ))
}

/// A path within the directory: plain names, joined by slashes.
fn check_file(field: &str, path: &str) -> Result<(), String> {
    if !path.is_empty() && path.split('/').all(|name| !matches!(name, "" | "." | "..")) {
        return Ok(());
    }
    Err(format!("{field}: {path:?} is no path within the directory, such as `public/img`"))
}

fn check_path(field: &str, path: &str) -> Result<(), String> {
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'?' | b'#' | b'\\');
    let is_whole = |path: &str| path.split('/').all(|name| !matches!(name, "" | "." | ".."));
    let rest = path.strip_prefix('/');
    let good = rest.is_some_and(|rest| rest.is_empty() || is_whole(rest));
    if good && path.len() <= PATH_BYTES && path.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "{field}.path: {path:?} is no path: use `/`, or `/a/b` without a slash at the end, up to {PATH_BYTES} bytes"
    ))
}

/// A map of strings in which no key is twice.
fn unique<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Strings;

    impl<'de> Visitor<'de> for Strings {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map of names to strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = pairs.next_entry::<String, String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("`{key}` is there twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    from.deserialize_map(Strings)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Manifest;

    const WHOLE: &str = "
components: { api: api.wasm, shop: bin/shop.wasm }
routes:
  - { path: /api, component: api }
  - { path: /, component: shop }
  - { path: /img, static: public/img }
config: { greeting: hello, answer: '42' }
reuse: true
";

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = Manifest::read(WHOLE.as_bytes()).unwrap();
        assert_eq!((manifest.components.len(), manifest.routes.len()), (2, 3));
        assert_eq!((&*manifest.config["answer"], manifest.reuse), ("42", true));
        assert_eq!(manifest.routes[2].files.as_deref(), Some("public/img"));
    }

    #[rstest]
    #[case::empty("", "coreward.yaml: ")]
    #[case::no_yaml("a: [", "coreward.yaml")]
    #[case::no_routes("routes: []", "routes: at least one is needed")]
    #[case::a_strange_field("routes: []\nport: 80", "unknown field `port`")]
    #[case::a_strange_field_of_a_route(
        "routes: [{ path: /, to: x }]",
        "routes[0]: unknown field `to`"
    )]
    #[case::no_target("routes: [{ path: / }]", "routes[0]: give it either")]
    #[case::two_targets(
        "components: {a: a}\nroutes: [{ path: /, component: a, static: b }]",
        "routes[0]: give it either"
    )]
    #[case::a_stranger(
        "routes: [{ path: /, component: a }]",
        "routes[0].component: there is no component `a`"
    )]
    #[case::a_path_twice(
        "routes: [{ path: /, static: a }, { path: /, static: b }]",
        "routes[1].path: `/` has a route already"
    )]
    #[case::a_path_without_a_slash(
        "routes: [{ path: a, static: a }]",
        "routes[0].path: \"a\" is no path"
    )]
    #[case::a_path_with_a_slash_at_the_end("routes: [{ path: /a/, static: a }]", "routes[0].path")]
    #[case::a_path_with_dots("routes: [{ path: /a/.., static: a }]", "routes[0].path")]
    #[case::a_path_in_code("routes: [{ path: /%61, static: a }]", "routes[0].path")]
    #[case::a_way_out(
        "routes: [{ path: /, static: ../etc }]",
        "routes[0].static: \"../etc\" is no path within the directory"
    )]
    #[case::an_absolute_file(
        "components: {a: /etc/passwd}\nroutes: [{ path: /, component: a }]",
        "components.a: \"/etc/passwd\""
    )]
    #[case::unreached(
        "components: {a: a, b: b}\nroutes: [{ path: /, component: a }]",
        "components.b: no route leads to it"
    )]
    #[case::a_component_twice(
        "components: {a: a, a: b}\nroutes: [{ path: /, component: a }]",
        "components: `a` is there twice"
    )]
    #[case::no_name(
        "components: {\"a b\": a}\nroutes: [{ path: /, component: a }]",
        "components: \"a b\" is no name"
    )]
    #[case::no_text("routes: [{ path: /, static: a }]\nconfig: { a: [1] }", "config")]
    #[case::no_truth("routes: [{ path: /, static: a }]\nreuse: maybe", "reuse: invalid type")]
    fn a_bad_manifest_is_refused_in_words(#[case] text: &str, #[case] words: &str) {
        let reason = Manifest::read(text.as_bytes()).unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }

    #[rstest]
    #[case::components("components", (0..9).map(|at| format!("c{at}: c")).collect())]
    #[case::config("config", (0..129).map(|at| format!("k{at}: v")).collect())]
    fn more_than_can_be_is_refused(#[case] field: &str, #[case] pairs: Vec<String>) {
        let text =
            format!("{field}: {{ {} }}\nroutes: [{{ path: /, static: a }}]", pairs.join(", "));
        let reason = Manifest::read(text.as_bytes()).unwrap_err();
        assert!(reason.contains(&format!("{field}: {} of them", pairs.len())), "{reason}");
    }

    #[test]
    fn what_unfolds_within_it_is_bounded() {
        let long = "x".repeat(8 << 10);
        let mut text = format!("routes: [{{ path: /, static: a }}]\nconfig:\n  k: &a {long}\n");
        text.extend((0..100).map(|at| format!("  k{at}: *a\n")));
        let reason = Manifest::read(text.as_bytes()).unwrap_err();
        assert!(reason.contains("config: "), "{reason}");
        assert!(Manifest::read(&vec![b'#'; (16 << 10) + 1]).unwrap_err().contains("16385 bytes"));
    }
}
