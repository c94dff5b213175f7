//! The node agent: the node's facts, and a cache of verified blocks.
