//! `wasi:keyvalue` for components, over the worker's own bounded store.

mod bounds;
mod entries;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};

pub(crate) use bounds::{Bounds, Refusal};
use generated::wasi::keyvalue;
use store::{Change, KeyValues};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue.wit",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::app::keyvalue::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => crate::app::keyvalue::Refusal },
    });
}

/// An open bucket of one instance: its name, and nothing of what it holds.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Bucket {
    name: Arc<str>,
}

/// What one instance reaches the store by.
pub(crate) struct View<'guest> {
    pub(crate) store: &'guest KeyValues,
    pub(crate) table: &'guest mut ResourceTable,
}

/// Grants `store`, `atomics` and `batch` to whatever has a [`View`].
///
/// # Errors
///
/// If they are granted already.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    keyvalue::store::add_to_linker::<_, Granted>(linker, view)?;
    keyvalue::atomics::add_to_linker::<_, Granted>(linker, view)?;
    keyvalue::batch::add_to_linker::<_, Granted>(linker, view)
}

struct Granted;

impl HasData for Granted {
    type Data<'guest> = View<'guest>;
}

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Self {
        Self::Handle(error.to_string())
    }
}

impl View<'_> {
    fn name(&self, bucket: &Resource<Bucket>) -> Result<Arc<str>, Refusal> {
        Ok(Arc::clone(&self.table.get(bucket)?.name))
    }
}

impl keyvalue::store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Refusal> {
        self.store.check_name(&identifier)?;
        Ok(self.table.push(Bucket { name: identifier.into() })?)
    }

    fn convert_error(&mut self, refusal: Refusal) -> wasmtime::Result<keyvalue::store::Error> {
        Ok(if matches!(refusal, Refusal::BucketName { .. }) {
            keyvalue::store::Error::NoSuchStore
        } else {
            keyvalue::store::Error::Other(refusal.to_string())
        })
    }
}

impl keyvalue::store::HostBucket for View<'_> {
    async fn get(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let found = self.store.get(self.name(&bucket)?, vec![key]).await?;
        Ok(found.into_iter().next().flatten().map(|(_, value)| value))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Refusal> {
        self.store.change(self.name(&bucket)?, Change::Set(vec![(key, value)])).await.map(drop)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Refusal> {
        self.store.change(self.name(&bucket)?, Change::Delete(vec![key])).await.map(drop)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Refusal> {
        self.store.exists(self.name(&bucket)?, key).await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<keyvalue::store::KeyResponse, Refusal> {
        let (keys, cursor) = self.store.keys(self.name(&bucket)?, cursor.unwrap_or(0)).await?;
        Ok(keyvalue::store::KeyResponse { keys, cursor })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl keyvalue::atomics::Host for View<'_> {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> Result<u64, Refusal> {
        self.store.change(self.name(&bucket)?, Change::Increment(key, delta)).await
    }
}

impl keyvalue::batch::Host for View<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Refusal> {
        self.store.get(self.name(&bucket)?, keys).await
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        key_values: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Refusal> {
        self.store.change(self.name(&bucket)?, Change::Set(key_values)).await.map(drop)
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<(), Refusal> {
        self.store.change(self.name(&bucket)?, Change::Delete(keys)).await.map(drop)
    }
}
