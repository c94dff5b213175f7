//! The chart of the definitions carries exactly the written ones, and keeps them when it is uninstalled; the product's
//! alerts tell people what to do.

#![expect(
    clippy::disallowed_methods,
    reason = "BLESS is a switch of the test run, not configuration"
)]
#![expect(clippy::unwrap_used, reason = "a test ends where a file is not as it must be")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use coreward_crds::{definitions, to_yaml};
use serde_json::Value;

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}

fn product(file: &str) -> String {
    fs::read_to_string(charts().join("coreward").join(file)).unwrap()
}

/// The rules of the product's alerts, with the name of each one's group.
fn alerts() -> Vec<(String, Value)> {
    let rules: Value = serde_yaml::from_str(&product("alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().clone();
    let named = |group: Value| {
        let rules = group["rules"].as_array().unwrap().clone();
        rules.into_iter().map(move |rule| (group["name"].as_str().unwrap().to_owned(), rule))
    };
    groups.into_iter().flat_map(named).collect()
}

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
        let path = charts().join("coreward-crds/templates").join(format!("{name}.yaml"));
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &template).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, template, "{} is not current; run `make bless`", path.display());
    }
}

#[test]
fn each_alert_says_what_it_means_and_where_to_read_on() {
    for (group, alert) in alerts() {
        let name = alert["alert"].as_str().unwrap();
        // Each group's series are looked up in the program that shows them, by a test of its crate.
        assert!(["coreward-operator", "coreward-prover"].contains(&group.as_str()), "{group}");
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["page", "ticket"].contains(&severity), "{name}: severity {severity:?}");
        for text in ["summary", "description"] {
            let text = alert["annotations"][text].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name} does not say enough");
        }
        let page = format!("ALERTS.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], page.as_str(), "{name}");
    }
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let alerts: Vec<_> =
        alerts().iter().map(|(_, alert)| alert["alert"].as_str().unwrap().to_owned()).collect();
    let page = product("ALERTS.md");
    let sections = page.lines().filter_map(|line| line.strip_prefix("## ").map(str::to_owned));
    assert_eq!(sections.collect::<Vec<_>>(), alerts, "in the order of alerts.yaml");
    for (section, (_, alert)) in page.split("\n## ").skip(1).zip(self::alerts()) {
        let severity = alert["labels"]["severity"].as_str().unwrap();
        let name = alert["alert"].as_str().unwrap();
        assert!(
            section.contains(&format!("\n\n`{severity}`. ")),
            "{name} begins with its severity"
        );
        for part in ["\n\nAt risk: ", "\n\nLook: ", "\n\nDo: "] {
            assert!(section.contains(part), "{name} lacks {}", part.trim());
        }
    }
}

#[test]
fn each_alert_is_tested_to_fire_and_not_to() {
    let tests = product("alerts_test.yaml");
    for (_, alert) in alerts() {
        let name = alert["alert"].as_str().unwrap();
        for ending in ["fires", "does not fire"] {
            assert!(tests.contains(&format!("- name: {name} {ending}")), "{name} {ending}");
        }
    }
}

#[test]
fn alerts_are_off_until_they_are_asked_for() {
    let values: Value = serde_yaml::from_str(&product("values.yaml")).unwrap();
    assert_eq!(values["alerts"]["enabled"], false);
    let schema: Value = serde_json::from_str(&product("values.schema.json")).unwrap();
    let names =
        |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(&values["alerts"]),
        names(&schema["properties"]["alerts"]["properties"]),
        "what the schema takes is what the values name"
    );
    let template = product("templates/alerts.yaml");
    assert!(template.starts_with("{{- if .Values.alerts.enabled }}\n"), "{template}");
    assert!(template.ends_with("\n{{- end }}\n"), "{template}");
}
