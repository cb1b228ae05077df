// Package store keeps everything that must survive: nodes, ports, operations, events, agents, conductors
// and logs. It holds the only SQL of the system.
//
// Rooms above it work in transactions: Write for changes (one writer at a time on SQLite), Read for a
// consistent look. Values that are private (driver_info, instance_info, agent tokens, operation records,
// logs) are sealed with AES-GCM before they reach a row, with the row and field as associated data, so a
// copy of the database without the key file tells nothing and a sealed value cannot be moved to another
// row. Times are database time in microseconds, UTC.
//
// Operations are leased: see operations.go. A write under a lost lease fails with ErrFenced. Whoever waits
// for a change asks Changed for a channel; polling is the fall-back, for the channel only hears of this
// process. SQL is written once with ? placeholders; dialect.go holds what differs between engines.
package store
