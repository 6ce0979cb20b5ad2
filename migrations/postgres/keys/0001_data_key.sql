-- The key of each template, in a schema or a database of its own: whoever has the templates alone can open none,
-- and a template whose key is gone is gone wherever a copy of it lies.

create table data_key (
    -- Random; stands beside the template that it opens. Sixteen zeroes: the key of the audit trail.
    key_id bytea not null primary key check (length(key_id) = 16),
    -- Which master key wrapped it: the first 8 bytes of a digest of that key.
    master_id bytea not null check (length(master_id) = 8),
    -- Nonce (12 bytes), AES-256-GCM ciphertext of the 32 bytes of the key, tag (16 bytes); bound to key_id.
    wrapped bytea not null
);
