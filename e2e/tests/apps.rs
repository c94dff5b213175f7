//! Whether our CIDs are everybody's: compared with an independent maker.

use coreward_e2e::{
    apps::{Apps, BlockFolder},
    chain::{Packages, cache_root},
};
use tokio::process::Command;

/// The root that npm's `ipfs-car` gives a file of this content.
async fn root_by_ipfs_car(packages: &Packages, content: &[u8]) -> std::io::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    tokio::fs::write(&file, content).await?;
    let output = Command::new("node")
        .arg(packages.ipfs_car())
        .args(["pack", "--no-wrap", "--output"])
        .arg(folder.path().join("file.car"))
        .arg(&file)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok(said.split_whitespace().find(|word| word.starts_with("baf")).unwrap_or(&said).to_owned())
}

#[tokio::test]
async fn an_independent_maker_gives_the_same_cids() {
    let packages = Packages::install(&cache_root()).await.unwrap();
    let large: Vec<u8> = (0..2_500_000_u32).map(|place| (place / 999).to_le_bytes()[0]).collect();
    for content in [&b"hello"[..], &large[..1024 * 1024], &large] {
        let theirs = root_by_ipfs_car(&packages, content).await.unwrap();
        assert_eq!(BlockFolder::cid_of(content), theirs, "{} bytes", content.len());
    }
}

#[tokio::test]
async fn the_samples_are_built_and_published_under_their_cids() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let apps = Apps::publish(&cache_root(), &BlockFolder::at(&artifacts)).await.unwrap();
    for cid in [&apps.hello, &apps.hello_in_blocks] {
        assert!(artifacts.join(cid).is_file(), "{cid}");
    }
    for app in &apps.wrong {
        assert_eq!(artifacts.join(&app.cid).is_file(), app.name != "a missing CID", "{}", app.name);
    }
    assert!(apps.wrong.len() >= 20, "{} wrong apps", apps.wrong.len());
    assert!(apps.hello.starts_with("bafkrei"));
    assert!(apps.hello_in_blocks.starts_with("bafybei"));
}
