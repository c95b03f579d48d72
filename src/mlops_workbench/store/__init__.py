"""The workbench's own records: tables, migrations, and one short way to read and write them."""
