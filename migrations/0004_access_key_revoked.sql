-- A revoked key keeps its row: its name is never given to another key, so that the audit trail's actor stays
-- unambiguous, and the service knows that there once was a key.

-- When the key was revoked; null: it is valid.
alter table access_key add column revoked_at integer;
