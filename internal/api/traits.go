package api

import (
	"net/http"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/policy"
)

func (c *call) listTraits() (answer, error) {
	list, err := c.s.Traits(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	if list == nil {
		list = []string{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"traits": list}}, nil
}

func (c *call) setTraits() (answer, error) {
	want, err := c.traitsArg()
	if err != nil {
		return answer{}, err
	}
	return c.changeTraits("node:traits:set", func([]string) ([]string, error) { return want, nil })
}

// traitsArg is the list of traits that a request gives.
func (c *call) traitsArg() ([]string, error) {
	args, err := c.args("traits")
	if err != nil {
		return nil, err
	}
	list, ok := args["traits"].([]any)
	if !ok {
		return nil, invalid("Missing mandatory parameter: traits, a list of strings.")
	}
	want := make([]string, len(list))
	for i, v := range list {
		if want[i], ok = v.(string); !ok {
			return nil, invalid("Invalid input for traits: entry %d is not a string.", i+1)
		}
	}
	return want, nil
}

func (c *call) addTrait() (answer, error) {
	if len(c.body) > 0 {
		return answer{}, invalid("A trait is added by its path; the request takes no body.")
	}
	trait := c.r.PathValue("trait")
	a, err := c.changeTraits("node:traits:set", func(have []string) ([]string, error) { return append(slices.Clone(have), trait), nil })
	a.location = "/v1/nodes/" + c.node() + "/traits/" + trait
	return a, err
}

func (c *call) clearTraits() (answer, error) {
	return c.changeTraits("node:traits:delete", func([]string) ([]string, error) { return nil, nil })
}

func (c *call) dropTrait() (answer, error) {
	trait := c.r.PathValue("trait")
	return c.changeTraits("node:traits:delete", func(have []string) ([]string, error) {
		i := slices.Index(have, trait)
		if i < 0 {
			return nil, fault.New(fault.NotFound, "Node %s has no trait %s.", c.node(), clip(trait))
		}
		return slices.Delete(slices.Clone(have), i, i+1), nil
	})
}

func (c *call) changeTraits(rule policy.Rule, change func([]string) ([]string, error)) (answer, error) {
	if err := c.s.ChangeTraits(c.r.Context(), c.caller(), c.node(), rule, change); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
