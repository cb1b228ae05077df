-- +goose Up
-- What the machine boots the ramdisk for, where its operation says that: see docs/decisions/0070-the-order-of-an-os-installation.md.
ALTER TABLE agents ADD COLUMN role TEXT NOT NULL DEFAULT ''; -- '': as the node's state says

-- Whether the definition was trusted when the installation was judged: trust that ends after that ends the installation.
ALTER TABLE os_installs ADD COLUMN trusted INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE os_installs DROP COLUMN trusted;
ALTER TABLE agents DROP COLUMN role;
