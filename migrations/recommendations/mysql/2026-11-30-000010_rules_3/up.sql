-- The rules of matching have version 3. Nothing here depends on that, but programs of older rules, which would work off the films that
-- are to be matched again by their own, refuse a database with this step.
DO 0;
