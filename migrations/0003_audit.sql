-- Who did and decided what, and when. Nobody is named: subjects are audit ids, which go with their references.

create table audit_event (
    -- Without gaps, from 1.
    number integer not null primary key,
    at integer not null,
    actor text not null,
    action text not null,
    outcome text not null,
    -- The audit id of a reference, or the name of an access key.
    subject text,
    -- HMAC-SHA256 of the event and the code before it.
    code blob not null
) strict;

create index audit_event_subject on audit_event (subject);

-- Behind which event the trail begins, once older ones were dropped on time. One row at most.
create table audit_start (
    number integer not null,
    -- The code of the last event that was dropped.
    code blob not null,
    -- HMAC-SHA256 of this very row.
    authenticated blob not null
) strict;
