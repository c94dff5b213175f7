//! README's page of what happens when: each line of it names what shows it.

use coreward_e2e::sources::Sources;

#[test]
fn each_line_of_what_happens_when_names_a_story_or_a_test_that_exists() {
    let sources = Sources::read().unwrap();
    let readme = include_str!("../../README.md");
    let (_, page) = readme.split_once("## What happens when\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let is_line = |row: &&str| !row.starts_with("| when |") && !row.starts_with("| what |");
    let rows = page.lines().filter(|line| line.starts_with("| ")).filter(is_line);
    let mut count = 0;
    for row in rows.filter(|row| !row.starts_with("| --- |")) {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows this: {row}");
        for name in names {
            assert!(
                sources.have_function(name),
                "there is no {name}, which is to show this: {row}"
            );
        }
        count += 1;
    }
    assert!(count > 50, "{count} lines are found: the page has another form");
}
