-- Who may call. The keys themselves are not here: each is 256 random bits, known to its holder alone.

create table access_key (
    -- 1 to 64 of [A-Za-z0-9._@-]: a terminal, a program, a person.
    name text not null primary key,
    role text not null check (role in ('terminal', 'enroller', 'admin', 'metrics')),
    -- SHA-256 of the key.
    digest blob not null unique check (length(digest) = 32),
    created_at integer not null
) strict, without rowid;
