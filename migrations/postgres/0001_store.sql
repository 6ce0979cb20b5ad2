-- What 0001 to 0003 of SQLite make, in PostgreSQL's words, and the change feed. Text that is sorted is sorted by
-- bytes, as SQLite does. Times are milliseconds since 1970-01-01 UTC.

create table model (
    -- SHA-256 of the encoder's ONNX file.
    model_id bytea not null primary key check (length(model_id) = 32),
    -- Its name, for people.
    name text not null
);

create table employee (
    -- 1 to 64 of [A-Za-z0-9._@-], case kept.
    employee_id text collate "C" not null primary key,
    -- What the reference is called in the audit trail; random, and another one at each enrolment.
    audit_id bytea not null unique check (length(audit_id) = 16),
    enrolled_at bigint not null,
    -- When the enrolment ends by itself; null: never.
    expires_at bigint
);

create index employee_expires_at on employee (expires_at);

create table template (
    employee_id text collate "C" not null references employee (employee_id) on delete cascade,
    -- The encoder that made the embedding; it is compared with no other's.
    model_id bytea not null references model (model_id),
    -- The data key that it is sealed under, which lies elsewhere.
    key_id bytea not null unique check (length(key_id) = 16),
    -- Nonce (12 bytes), AES-256-GCM ciphertext of little-endian 32-bit floats, tag (16 bytes);
    -- bound to employee_id and model_id.
    sealed bytea not null,
    primary key (employee_id, model_id)
);

-- Who may call. The keys themselves are not here: each is 256 random bits, known to its holder alone.
create table access_key (
    -- 1 to 64 of [A-Za-z0-9._@-]: a terminal, a program, a person.
    name text collate "C" not null primary key,
    role text not null check (role in ('terminal', 'enroller', 'admin', 'metrics')),
    -- SHA-256 of the key.
    digest bytea not null unique check (length(digest) = 32),
    created_at bigint not null
);

-- Who did and decided what, and when. Nobody is named: subjects are audit ids, which go with their references.
create table audit_event (
    -- Without gaps, from 1.
    number bigint not null primary key,
    at bigint not null,
    actor text not null,
    action text not null,
    outcome text not null,
    -- The audit id of a reference, or the name of an access key.
    subject text,
    -- HMAC-SHA256 of the event and the code before it.
    code bytea not null
);

create index audit_event_subject on audit_event (subject);

-- Behind which event the trail begins, once older ones were dropped on time. One row at most.
create table audit_start (
    number bigint not null,
    -- The code of the last event that was dropped.
    code bytea not null,
    -- HMAC-SHA256 of this very row.
    authenticated bytea not null
);

-- Whose enrolment has changed: what every replica follows. Rows are gone after a minute, all but the newest.
create table change (
    -- Without gaps, from 1, in the order of the commits.
    number bigint not null primary key,
    at bigint not null,
    -- Enrolled, enrolled anew or erased: which of them, the tables above say.
    employee_id text collate "C" not null
);
