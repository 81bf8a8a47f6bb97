-- A process has many steps and sends, each with tries of its own. Kept here, as `attempts` of a handler is, because
-- Temporal counts also what was no try: PostgreSQL was away, or the code had not come yet.
alter table reactions add column steps jsonb;   -- {"refund/1": 2}: those begun and not ended, and how often
