//! Reads configuration and headers of a model that lies on the hub: a few hundred KB, no weights.

use super::config_json::{Dimensions, Fields};
use super::inspect::{Parts, template_of};
use super::json::parse_json;
use super::refusal::Failure;
use super::repository::{Listing, RemoteFile};
use super::safetensors::{Shard, TensorIndex};
use super::{Hub, HubError};
use crate::protocol::ModelCard;
use futures_util::StreamExt;
use serde_json::Value;
use std::path::Path;

/// Most headers are shorter: they come with one request.
const USUAL_HEADER_BYTES: u64 = 500_000;

impl Hub {
    /// What the model `id` is, asked from the hub.
    pub async fn peek(&self, id: &str) -> Result<ModelCard, HubError> {
        self.check_online(id)?;
        let listing = self.listing(id).await?;
        let peek = Peek { hub: self, id, listing: &listing };
        let config = Fields::new(Path::new("config.json"), peek.config().await?);
        let not_a_model = |error: HubError| peek.not_a_model(&error.to_string());
        let dimensions = Dimensions::new(&config).map_err(not_a_model)?;
        let (tensors, chat_template) = (peek.tensors().await?, peek.chat_template().await?);
        Parts { config, dimensions, tensors, chat_template }.card().map_err(not_a_model)
    }

    /// The config.json of the model `id`, asked from the hub.
    pub async fn peek_config(&self, id: &str) -> Result<Value, HubError> {
        self.check_online(id)?;
        let listing = self.listing(id).await?;
        Peek { hub: self, id, listing: &listing }.config().await
    }
}

struct Peek<'a> {
    hub: &'a Hub,
    id: &'a str,
    listing: &'a Listing,
}

impl Peek<'_> {
    async fn config(&self) -> Result<Value, HubError> {
        self.json("config.json").await?.ok_or_else(|| self.not_a_model("it has no config.json"))
    }

    async fn chat_template(&self) -> Result<Option<String>, HubError> {
        if let Some(template) = self.whole("chat_template.jinja").await? {
            return Ok(Some(String::from_utf8_lossy(&template).into_owned()));
        }
        for file in ["chat_template.json", "tokenizer_config.json"] {
            if let Some(template) = self.json(file).await?.as_ref().and_then(template_of) {
                return Ok(Some(template));
            }
        }
        Ok(None)
    }

    async fn tensors(&self) -> Result<TensorIndex, HubError> {
        let mut index = TensorIndex::new();
        for file in self.listing.files.iter().filter(|file| file.is_weights()) {
            let shard = Shard { path: Path::new(&file.name), bytes: file.bytes };
            let mut start = self.start_of(file, USUAL_HEADER_BYTES.min(file.bytes)).await?;
            let end = shard.header_end(&start[..start.len().min(8)])?;
            if end > start.len() as u64 {
                start = self.start_of(file, end).await?;
            }
            shard.add_to(&mut index, &start[8..end as usize])?;
        }
        Ok(index)
    }

    async fn json(&self, name: &str) -> Result<Option<Value>, HubError> {
        self.whole(name).await?.map(|text| parse_json(Path::new(name), &text)).transpose()
    }

    async fn whole(&self, name: &str) -> Result<Option<Vec<u8>>, HubError> {
        match self.listing.files.iter().find(|file| file.name == name) {
            Some(file) => self.start_of(file, file.bytes).await.map(Some),
            None => Ok(None),
        }
    }

    /// The first `bytes` bytes of a file; no more are kept, even where a server sends the whole file.
    async fn start_of(&self, file: &RemoteFile, bytes: u64) -> Result<Vec<u8>, HubError> {
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let mut tries = self.hub.tries();
        loop {
            match self.request_start(file, bytes).await {
                Ok(start) => return Ok(start),
                Err(failure) => tries.wait_after(failure).await?,
            }
        }
    }

    async fn request_start(&self, file: &RemoteFile, bytes: u64) -> Result<Vec<u8>, Failure> {
        let failure = |error| self.hub.request(self.id).failure(error);
        let repository = self.hub.repository(self.id);
        let request = repository.download_file_stream().filename(&file.name).revision(&self.listing.commit);
        let (_, mut stream) = request.range(0..bytes).send().await.map_err(failure)?;
        let mut start = Vec::new();
        while (start.len() as u64) < bytes {
            match stream.next().await {
                Some(chunk) => start.extend_from_slice(&chunk.map_err(failure)?),
                None => return Err(Failure::passing("the connection broke off")),
            }
        }
        start.truncate(bytes as usize);
        Ok(start)
    }

    fn not_a_model(&self, problem: &str) -> HubError {
        HubError::NotAModel { id: self.id.to_owned(), problem: problem.to_owned() }
    }
}
