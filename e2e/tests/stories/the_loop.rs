use coreward_e2e::story::{Teller, the_loop};

use super::{SILENCE, Told, chain_of, cores, finish, people, stage, tell_and_release};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop() -> Told {
    let teller = Teller::of("the_loop");
    let stage = stage(&teller).await.map_err(|error| chain_of(&error))?;
    let _cores = cores().await;
    let _noise = SILENCE.read().await;
    let told = tell_and_release(&stage, ("the loop", people::THE_LOOP), async |world| {
        the_loop::tell(world, &teller, &stage.apps.hello).await
    });
    finish(told.await)
}
