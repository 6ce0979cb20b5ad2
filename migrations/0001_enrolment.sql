-- Who is enrolled, and the sealed reference template of each. Times are milliseconds since 1970-01-01 UTC.

create table model (
    -- SHA-256 of the encoder's ONNX file.
    model_id blob not null primary key check (length(model_id) = 32),
    -- Its name, for people.
    name text not null
) strict, without rowid;

create table employee (
    -- 1 to 64 of [A-Za-z0-9._@-], case kept.
    employee_id text not null primary key,
    -- What the reference is called in the audit trail; random, and another one at each enrolment.
    audit_id blob not null unique check (length(audit_id) = 16),
    enrolled_at integer not null,
    -- When the enrolment ends by itself; null: never.
    expires_at integer
) strict, without rowid;

create table template (
    employee_id text not null references employee (employee_id) on delete cascade,
    -- The encoder that made the embedding; it is compared with no other's.
    model_id blob not null references model (model_id),
    -- The data key that it is sealed under, in the file of keys.
    key_id blob not null unique check (length(key_id) = 16),
    -- Nonce (12 bytes), AES-256-GCM ciphertext of little-endian 32-bit floats, tag (16 bytes);
    -- bound to employee_id and model_id.
    sealed blob not null,
    primary key (employee_id, model_id)
) strict, without rowid;
