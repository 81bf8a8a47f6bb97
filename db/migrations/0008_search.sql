-- A text array as one text, for generated tsvector columns: array_to_string is only stable, since an array may hold
-- values whose text depends on settings. Of texts it does not.
create function words(list text[]) returns text language sql immutable strict parallel safe
  return array_to_string(list, ' ');
