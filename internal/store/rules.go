package store

import (
	"encoding/json"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var ruleColumns = []string{"uuid", "description", "priority", "phase", "sensitive", "body", "created_at", "updated_at"}

var ruleSelect = "SELECT r.id, r." + strings.Join(ruleColumns, ", r.") + " FROM inspection_rules r "

// ruleBody is what is sealed of a rule.
type ruleBody struct {
	Conditions []metal.RuleOp `json:"conditions"`
	Actions    []metal.RuleOp `json:"actions"`
}

// CreateRule inserts an inspection rule. A taken UUID is a fault.Conflict.
func (t *Tx) CreateRule(r *metal.InspectionRule) error {
	values, err := t.ruleValues(r)
	if err != nil {
		return err
	}
	query := "INSERT INTO inspection_rules (" + strings.Join(ruleColumns, ", ") + ") VALUES (" + marks(len(values)) + ") RETURNING id"
	if err := t.row(query, values...).Scan(&r.ID); err != nil {
		return t.db.explain(err)
	}
	return nil
}

// SaveRule writes every field of an existing rule.
func (t *Tx) SaveRule(r *metal.InspectionRule) error {
	values, err := t.ruleValues(r)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE inspection_rules SET "+strings.Join(ruleColumns, " = ?, ")+" = ? WHERE id = ?", append(values, r.ID)...)
	return err
}

// DeleteRule removes a rule.
func (t *Tx) DeleteRule(id int64) error {
	_, err := t.exec("DELETE FROM inspection_rules WHERE id = ?", id)
	return err
}

// Rule finds an inspection rule by UUID; fault.NotFound if there is none.
func (t *Tx) Rule(uuid string) (*metal.InspectionRule, error) {
	found, err := t.rules(ruleSelect+"WHERE r.uuid = ?", uuid)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "Inspection rule %s could not be found.", uuid)
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Rules lists inspection rules.
func (t *Tx) Rules(p Page) ([]*metal.InspectionRule, error) {
	var w where
	tail, err := t.page(&w, "inspection_rules", "r", ruleColumns, p)
	if err != nil {
		return nil, err
	}
	return t.rules(ruleSelect+w.String()+tail, w.args...)
}

// AllRules lists every rule, in the order in which they were made.
func (t *Tx) AllRules() ([]*metal.InspectionRule, error) {
	return t.rules(ruleSelect + "ORDER BY r.id")
}

func (t *Tx) ruleValues(r *metal.InspectionRule) ([]any, error) {
	body, err := json.Marshal(ruleBody{Conditions: r.Conditions, Actions: r.Actions})
	if err != nil {
		return nil, fmt.Errorf("inspection rule %s: %w", r.UUID, err)
	}
	return []any{r.UUID, r.Description, r.Priority, r.Phase, number(r.Sensitive), t.db.key.seal(body, r.UUID, "rule"), micros(r.CreatedAt), micros(r.UpdatedAt)}, nil
}

func (t *Tx) rules(query string, args ...any) ([]*metal.InspectionRule, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*metal.InspectionRule
	for rows.Next() {
		var r metal.InspectionRule
		var sealed []byte
		var created, updated int64
		if err := rows.Scan(&r.ID, &r.UUID, &r.Description, &r.Priority, &r.Phase, &r.Sensitive, &sealed, &created, &updated); err != nil {
			return nil, err
		}
		var body ruleBody
		plain, err := t.db.key.open(sealed, r.UUID, "rule")
		if err == nil {
			err = json.Unmarshal(plain, &body)
		}
		if err != nil {
			return nil, fmt.Errorf("inspection rule %s: %w", r.UUID, err)
		}
		r.Conditions, r.Actions = body.Conditions, body.Actions
		r.CreatedAt, r.UpdatedAt = fromMicros(created), fromMicros(updated)
		out = append(out, &r)
	}
	return out, rows.Err()
}
