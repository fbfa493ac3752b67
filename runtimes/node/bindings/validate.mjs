// Validators of cloud code: a function, or an object of requirements.

const invalid = (Parse, message) => new Parse.Error(142, `Validation failed. ${message}`);
const isMissing = (value) => value === undefined || value === null;

function typeName(value) {
  const match = typeof value === 'function' ? /^\s*(?:function|class)\s*([A-Za-z0-9_$]*)/.exec(value.toString()) : null;
  return (match ? match[1] : String(value)).toLowerCase();
}
function kindOf(value) {
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'date';
  return (value !== null && typeof value === 'object' && value.constructor ? value.constructor.name : typeof value).toLowerCase();
}

async function checkOptions(Parse, key, options, value, error) {
  if (typeof options === 'function') {
    try {
      const result = await options(value);
      if (result === false) throw invalid(Parse, error ?? `Invalid value for ${key}.`);
      return;
    } catch (thrown) {
      if (thrown instanceof Parse.Error) throw thrown;
      throw invalid(Parse, error ?? (typeof thrown === 'string' ? thrown : thrown?.message ?? `Invalid value for ${key}.`));
    }
  }
  const list = Array.isArray(options) ? options : [options];
  if (!list.includes(value)) throw invalid(Parse, error ?? `Invalid option for ${key}. Expected: ${list.join(', ')}`);
}

function paramsOf(request) {
  const object = request.object;
  if (!object || typeof object.toJSON !== 'function') return { params: request.params ?? {}, object: null };
  return { params: object.toJSON(), object };
}

async function checkField(Parse, request, key, rule) {
  const { params, object } = paramsOf(request);
  const read = () => (object ? object.get(key) : params[key]);
  if (typeof rule === 'string' || typeof rule === 'function') rule = { type: rule };
  if (rule.default !== undefined && isMissing(read())) {
    if (object) object.set(key, rule.default);
    else params[key] = rule.default;
  }
  if (rule.constant && object) {
    if (request.original) object.set(key, request.original.get(key));
    else if (rule.default !== undefined) object.set(key, rule.default);
  }
  const value = read();
  if (rule.required && isMissing(value)) throw invalid(Parse, rule.error ?? `Please specify data for ${key}.`);
  if (isMissing(value)) return;
  if (rule.type) {
    const want = typeName(rule.type);
    if (kindOf(value) !== want) throw invalid(Parse, rule.error ?? `Invalid type for ${key}. Expected: ${want}`);
  }
  if (rule.options !== undefined) await checkOptions(Parse, key, rule.options, value, rule.error);
}

async function checkRoles(Parse, rules, roles) {
  const any = typeof rules.requireAnyUserRoles === 'function' ? await rules.requireAnyUserRoles() : rules.requireAnyUserRoles;
  const all = typeof rules.requireAllUserRoles === 'function' ? await rules.requireAllUserRoles() : rules.requireAllUserRoles;
  if (!any && !all) return;
  const has = (await roles()).map((name) => `role:${name}`);
  const named = (list) => list.map((name) => (name.startsWith('role:') ? name : `role:${name}`));
  if (any && !named(any).some((name) => has.includes(name))) throw invalid(Parse, 'User does not match the required roles.');
  if (all && !named(all).every((name) => has.includes(name))) throw invalid(Parse, 'User does not match all the required roles.');
}

async function checkUserKeys(Parse, keys, user) {
  if (Array.isArray(keys)) {
    for (const key of keys) if (isMissing(user.get(key))) throw invalid(Parse, `Please set data for ${key} on your account.`);
    return;
  }
  for (const [key, rule] of Object.entries(keys)) {
    if (rule.options !== undefined) await checkOptions(Parse, key, rule.options, user.get(key), rule.error);
  }
}

async function checkRules(Parse, rules, request, roles) {
  if (request.master && !rules.validateMasterKey) return;
  const { user } = request;
  const needsUser = rules.requireUser || rules.requireAnyUserRoles || rules.requireAllUserRoles;
  if (needsUser && !user) throw invalid(Parse, 'Please login to continue.');
  if (rules.requireMaster && !request.master) throw invalid(Parse, 'Master key is required to complete this request.');
  if (Array.isArray(rules.fields)) {
    for (const key of rules.fields) await checkField(Parse, request, key, { required: true });
  } else {
    for (const [key, rule] of Object.entries(rules.fields ?? {})) await checkField(Parse, request, key, rule);
  }
  if (needsUser) await checkRoles(Parse, rules, roles);
  if (rules.requireUserKeys) {
    if (!user) throw invalid(Parse, 'Please login to make this request.');
    await checkUserKeys(Parse, rules.requireUserKeys, user);
  }
}

/** Throws a Parse.Error with code 142 (or the one the validator gave). `roles`: asks for the user's. */
export async function runValidator(Parse, validator, request, roles) {
  if (!validator || (request.master && validator.skipWithMasterKey)) return;
  if (typeof validator === 'object') return checkRules(Parse, validator, request, roles);
  try {
    await validator(request);
  } catch (error) {
    if (error instanceof Parse.Error) throw error;
    throw new Parse.Error(142, typeof error === 'string' ? error : error?.message || 'Validation failed.');
  }
}
