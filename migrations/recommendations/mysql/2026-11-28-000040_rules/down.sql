DELETE FROM sequences WHERE name = 'rules';
