-- What no text can tell: names that the target's own catalogue gives a meaning. Each runs code that somebody had to define
-- before; here all of them look like the reads they imitate. A reader that holds the catalogue must know them for what
-- they are; until then this file says which they are, and a test that they are still not known.

-- expect: read
select lower(t) from t

-- expect: read
select t.wipe from t

-- expect: read
select id from wiping_view

-- expect: read
select 'x'::wiping_domain

-- expect: read
select row(1, 2)::pair::mood

-- expect: read
select 1 @@@ 2
