package sql

import (
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// There are no stored procedures in this version. The planner asks for them where it
// lists routines.
var _ gms.StoredProcedureDatabase = (*Database)(nil)

// GetStoredProcedure finds none.
func (d *Database) GetStoredProcedure(*gms.Context, string) (gms.StoredProcedureDetails, bool, error) {
	return gms.StoredProcedureDetails{}, false, nil
}

// GetStoredProcedures lists none.
func (d *Database) GetStoredProcedures(*gms.Context) ([]gms.StoredProcedureDetails, error) {
	return nil, nil
}

// SaveStoredProcedure refuses.
func (d *Database) SaveStoredProcedure(*gms.Context, gms.StoredProcedureDetails) error {
	return notAvailable("CREATE PROCEDURE")
}

// DropStoredProcedure finds none to drop.
func (d *Database) DropStoredProcedure(_ *gms.Context, name string) error {
	return gms.ErrStoredProcedureDoesNotExist.New(name)
}

// Nor are there events.
var _ gms.EventDatabase = (*Database)(nil)

// GetEvent finds none.
func (d *Database) GetEvent(*gms.Context, string) (gms.EventDefinition, bool, error) {
	return gms.EventDefinition{}, false, nil
}

// GetEvents lists none.
func (d *Database) GetEvents(*gms.Context) ([]gms.EventDefinition, any, error) { return nil, nil, nil }

// SaveEvent refuses.
func (d *Database) SaveEvent(*gms.Context, gms.EventDefinition) (bool, error) {
	return false, notAvailable("CREATE EVENT")
}

// DropEvent finds none to drop.
func (d *Database) DropEvent(_ *gms.Context, name string) error {
	return gms.ErrEventDoesNotExist.New(name)
}

// UpdateEvent finds none to change.
func (d *Database) UpdateEvent(_ *gms.Context, name string, _ gms.EventDefinition) (bool, error) {
	return false, gms.ErrEventDoesNotExist.New(name)
}

// UpdateLastExecuted finds none.
func (d *Database) UpdateLastExecuted(_ *gms.Context, name string, _ time.Time) error {
	return gms.ErrEventDoesNotExist.New(name)
}

// NeedsToReloadEvents is false: there are none.
func (d *Database) NeedsToReloadEvents(*gms.Context, any) (bool, error) { return false, nil }
