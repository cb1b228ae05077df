// Package store keeps everything that must survive: nodes, ports, operations, events, agents, conductors
// and logs. It holds the only SQL of the system.
//
// Rooms above it work in transactions: Write for changes, Read for a consistent look. Values that are private
// (driver_info, instance_info, config drives, agent tokens, operation records, logs) are sealed with AES-GCM
// before they reach a row, with the row and field as associated data, so a copy of the database without the key
// file tells nothing and a sealed value cannot be moved to another row. Times are database time in
// microseconds, UTC.
//
// Two engines keep the same schema with the same queries: SQLite in a file (one writer at a time) and PostgreSQL
// for several servers (many writers; locks.go says who waits for whom). A database that cannot be reached, is
// busy or was changed at the same time is a fault of kind Unavailable; a closure never runs twice.
//
// Operations are leased: see operations.go. A write under a lost lease fails with ErrFenced. Whoever waits
// for a change asks Changed for a channel; polling is the fall-back, for on SQLite the channel only hears of
// this process, and on PostgreSQL a connection may be lost. SQL is written once with ? placeholders; dialect.go
// holds what differs between engines.
package store
