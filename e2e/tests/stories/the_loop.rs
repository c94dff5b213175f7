use coreward_e2e::story::the_loop;

use super::{Needs, Told, on_stage, people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop() -> Told {
    on_stage("the_loop", (people::THE_LOOP, Needs::Cores), async |world, teller, stage| {
        the_loop::tell(world, teller, &stage.apps.hello).await
    })
    .await
}
