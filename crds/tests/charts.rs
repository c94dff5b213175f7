//! The chart of the definitions carries exactly the written ones, and keeps them when it is uninstalled.

#![expect(
    clippy::disallowed_methods,
    reason = "BLESS is a switch of the test run, not configuration"
)]

use std::path::Path;
use std::{env, fs};

use coreward_crds::{definitions, to_yaml};

#[test]
fn the_chart_carries_the_written_definitions_and_keeps_them() {
    for crd in definitions() {
        let name = format!("{}.{}", crd.spec.names.plural, crd.spec.group);
        let written = to_yaml(&crd).unwrap();
        let kept = format!("  annotations:\n    helm.sh/resource-policy: keep\n  name: {name}\n");
        let template = written.replacen(&format!("  name: {name}\n"), &kept, 1);
        assert!(
            template.contains(&kept),
            "the definition of {name} begins in another way than expected"
        );
        assert!(!template.contains("{{"), "{name} holds what Helm would take for a template");
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../charts/coreward-crds/templates")
            .join(format!("{name}.yaml"));
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &template).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, template, "{} is not current; run `make bless`", path.display());
    }
}
