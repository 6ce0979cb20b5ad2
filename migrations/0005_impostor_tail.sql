-- The tail of the impostor scores among the people enrolled, to which the thresholds are fitted. It can be fitted anew
-- at any time; it is stored so that all replicas decide by the same one.

create table impostor_tail (
    -- The encoder whose gallery it is of.
    model_id blob not null primary key check (length(model_id) = 32),
    -- Counts the tails of this model, from 1.
    number integer not null,
    -- How many people were compared with each other; 0: too few are enrolled, and there is no tail.
    people integer not null,
    -- The score at probit 0.
    level real not null,
    -- Score for each unit of probit.
    slope real not null,
    fitted_at integer not null
) strict, without rowid;
