//! From what an artifact holds to what is compiled and kept.

use std::collections::BTreeMap;

use bytes::Bytes;
use coreward_artifact::unixfs::{Content, Entry};

use super::manifest::{self, Manifest};
use super::{Form, Route, StaticFile, Target};

/// A version to make: its form, and the bytes that it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) form: Form,
    /// Wasm, in the form's order of components.
    pub(crate) components: Vec<Bytes>,
    /// Static files by CID.
    pub(crate) files: BTreeMap<String, Bytes>,
}

impl Plan {
    /// What is made of an artifact: a file is a component, a directory has a manifest.
    ///
    /// # Errors
    ///
    /// What is wrong with which field of the manifest, for the developer.
    pub(crate) fn of(content: Content) -> Result<Self, String> {
        match content {
            Content::File(wasm) => {
                Ok(Self { form: Form::bare(), components: vec![wasm], files: BTreeMap::new() })
            }
            Content::Directory(files) => of_directory(&files),
        }
    }
}

fn of_directory(files: &BTreeMap<String, Entry>) -> Result<Plan, String> {
    let entry = files.get(manifest::NAME).ok_or_else(|| {
        format!("the directory has no file `{}`, which says what is in it", manifest::NAME)
    })?;
    let manifest = Manifest::read(&entry.bytes)?;
    let mut plan = Plan { form: Form::default(), components: Vec::new(), files: BTreeMap::new() };
    for (name, file) in &manifest.components {
        let entry = files.get(file).ok_or_else(|| {
            format!("{}: components.{name}: there is no file `{file}`", manifest::NAME)
        })?;
        plan.form.components.push(name.clone());
        plan.components.push(entry.bytes.clone());
    }
    for (at, route) in manifest.routes.iter().enumerate() {
        let is_it = |name: &String| Some(name) == route.component.as_ref();
        let target = match (plan.form.components.iter().position(is_it), &route.files) {
            (Some(component), _) => Target::Component(component),
            (None, Some(directory)) => Target::Files(plan.take(files, directory)),
            (None, None) => Target::Files(BTreeMap::new()),
        };
        if matches!(&target, Target::Files(found) if found.is_empty()) {
            let directory = route.files.as_deref().unwrap_or_default();
            let name = manifest::NAME;
            return Err(format!("{name}: routes[{at}].static: `{directory}` holds no file"));
        }
        plan.form.routes.push(Route { path: route.path.clone(), target });
    }
    plan.form.routes.sort_by_key(|route| core::cmp::Reverse(route.path.len()));
    (plan.form.config, plan.form.reuse) = (manifest.config, manifest.reuse);
    Ok(plan)
}

impl Plan {
    /// The files below a directory, which are kept from now on.
    fn take(
        &mut self,
        files: &BTreeMap<String, Entry>,
        directory: &str,
    ) -> BTreeMap<String, StaticFile> {
        let below = format!("{directory}/");
        let mut found = BTreeMap::new();
        for (path, Entry { cid, bytes }) in files.range(below.clone()..) {
            let Some(path) = path.strip_prefix(&below) else { break };
            let file = StaticFile { cid: cid.to_string(), bytes: bytes.len() as u64 };
            self.files.insert(file.cid.clone(), bytes.clone());
            found.insert(path.to_owned(), file);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use coreward_artifact::raw;
    use rstest::rstest;

    use super::*;

    fn directory(files: &[(&str, &'static str)]) -> Content {
        let entry = |text: &'static str| Entry {
            cid: raw(text.as_bytes()),
            bytes: Bytes::from_static(text.as_bytes()),
        };
        Content::Directory(
            files.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect(),
        )
    }

    #[test]
    fn a_directory_becomes_what_its_manifest_says() {
        let manifest = "{ components: { b: b.wasm, a: a.wasm }, config: { k: v }, routes: [
            { path: /, static: public }, { path: /a, component: a }, { path: /a/b, component: b } ] }";
        let plan = Plan::of(directory(&[
            (manifest::NAME, manifest),
            ("a.wasm", "A"),
            ("b.wasm", "B"),
            ("public/index.html", "hello"),
            ("public/img/x.png", "x"),
            ("public-not/secret", "s"),
            ("publi", "p"),
        ]));
        let plan = plan.unwrap();
        assert_eq!(plan.components, ["A", "B"]);
        let paths: Vec<_> = plan.form.routes.iter().map(|route| route.path.as_str()).collect();
        assert_eq!(paths, ["/a/b", "/a", "/"]);
        assert_eq!(plan.form.routes[0].target, Target::Component(1));
        let Target::Files(files) = &plan.form.routes[2].target else { panic!("files") };
        assert_eq!(files.keys().collect::<Vec<_>>(), ["img/x.png", "index.html"]);
        assert_eq!(plan.files.len(), 2, "nothing but what a route leads to");
        assert_eq!(plan.form.path_of(1), "/a/b");
    }

    #[rstest]
    #[case::without_a_manifest(directory(&[("a.wasm", "A")]), "no file `coreward.yaml`")]
    #[case::without_a_component(
        directory(&[("coreward.yaml", "{ components: { a: a.wasm }, routes: [{ path: /, component: a }] }")]),
        "components.a: there is no file `a.wasm`"
    )]
    #[case::without_static_files(
        directory(&[("coreward.yaml", "{ routes: [{ path: /, static: public }] }"), ("public", "a file")]),
        "routes[0].static: `public` holds no file"
    )]
    fn a_directory_that_does_not_hold_what_it_says_is_refused(
        #[case] content: Content,
        #[case] words: &str,
    ) {
        let reason = Plan::of(content).unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }
}
