//! The command line that the chart writes is one that the gateway takes.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use coreward_gateway::Args;
use serde_json::Value;

fn chart(file: &str) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/coreward");
    fs::read_to_string(chart.join(file)).unwrap()
}

/// The arguments in the template, with what `limit` says of each of the chart's limits.
fn arguments(limit: impl Fn(&str) -> Value) -> Vec<String> {
    let template = chart("templates/gateway.yaml");
    let lines = template.lines().filter_map(|line| line.trim().strip_prefix("- --"));
    let argument = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        let value = match value.strip_prefix("{{ int").and_then(|rest| rest.strip_suffix(" }}")) {
            Some(rest) => limit(rest.split_once('.').unwrap().1).to_string(),
            None => value.replace("{{ join \",\" . }}", "203.0.113.7:4001,[2001:db8::7]:30402"),
        };
        format!("--{name}={}", value.replace("$(POD_NAME)", "coreward-gateway-1"))
    };
    lines.map(argument).collect()
}

fn taken(limit: impl Fn(&str) -> Value) -> Args {
    let program = ["coreward-gateway".to_owned()];
    Args::try_parse_from(program.into_iter().chain(arguments(limit))).unwrap()
}

#[test]
fn the_charts_defaults_are_the_gateways_own() {
    let values: Value = serde_yaml::from_str(&chart("values.yaml")).unwrap();
    let written = taken(|name| values["gateways"]["limits"][name].clone());
    let own = ["--operator-url=u", "--ca-file=c", "--token-file=t", "--outside=203.0.113.7:4001"];
    let own = ["coreward-gateway"].into_iter().chain(own).chain(["--replica=coreward-gateway-0"]);
    let own = Args::try_parse_from(own).unwrap();
    let limits = |args: &Args| {
        (
            (args.connections, args.reservations, args.circuits),
            (args.circuits_per_member, args.circuit_mib, args.circuit_seconds),
        )
    };
    assert_eq!(limits(&written), limits(&own));
    assert_eq!((written.listen, written.relay_port), (own.listen, own.relay_port));
    assert_eq!(written.state_dir, own.state_dir);
}

#[test]
fn what_the_schema_allows_is_taken() {
    let schema: Value = serde_json::from_str(&chart("values.schema.json")).unwrap();
    let limits = &schema["properties"]["gateways"]["properties"]["limits"]["properties"];
    for bound in ["minimum", "maximum"] {
        taken(|name| limits[name][bound].clone());
    }
}
