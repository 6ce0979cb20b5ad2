-- Presentation sessions: a caller asked a person to turn the head, and may use the frames once. Each row lives two
-- minutes. Times are milliseconds since 1970-01-01 UTC.

create table presentation_session (
    -- SHA-256 of the token, which only the caller has.
    digest blob not null primary key check (length(digest) = 32),
    -- The caller who opened it, as in the audit trail; no other one may use it.
    caller text not null,
    -- Whom the session may verify; null: anybody, and it may identify.
    employee_id text,
    -- The turns that were asked for, each with its milliseconds since opened_at.
    steps text not null,
    opened_at integer not null,
    expires_at integer not null,
    -- open: no frames yet; judged: frames were taken; live: the probe waits.
    state text not null check (state in ('open', 'judged', 'live')),
    -- The probe of the best frame, sealed under a key derived from the token.
    probe blob check ((probe is not null) = (state = 'live'))
) strict, without rowid;

create index presentation_session_expires_at on presentation_session (expires_at);
