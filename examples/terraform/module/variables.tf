variable "rotations" {
  description = "The rotations, by a name that becomes a part of the stack's name."
  type = map(object({
    # The secrets that the function rotates: ARNs or names.
    secret_ids = list(string)
    # The function, or the role for a function that does not exist yet (with subnet_ids). One of them should be given.
    rotation_lambda_arn = optional(string)
    role_name           = optional(string)
    # Declared mode: the subnets of the function; an empty list if it is in no VPC. Excludes rotation_lambda_arn. The
    # function has to depend on the module: Lambda creates it only after the policy.
    subnet_ids = optional(list(string))
    # Declared mode: the customer managed key of the function's environment variables.
    kms_key_arn = optional(string)
    # A secret that the function only reads.
    superuser_secret_id = optional(string)
    # Databases, users and directories whose own API the function calls.
    target_arns = optional(list(string))
    # Strict (default) or Documented.
    policy_profile = optional(string)
    # Key (default) or Secret.
    kms_scope = optional(string)
    # Enforce (default) or Off.
    access_check = optional(string)
    # Seconds, 10 by default.
    propagation_delay = optional(number)
    # Values on which the policy depends besides, such as the ARN of the secret's key and the unique ID of the role.
    triggers = optional(map(string))
  }))
  validation {
    condition     = alltrue([for name in keys(var.rotations) : can(regex("^[A-Za-z0-9-]{1,80}$", name))])
    error_message = "The name of a rotation becomes a part of a stack's name: up to 80 letters, digits and hyphens."
  }
}

variable "provider_stack_name" {
  description = "The name of the provider's stack, which exports the ServiceToken."
  type        = string
  default     = "rotation-role-policy"
}

variable "stack_name_prefix" {
  description = "What the name of each stack begins with."
  type        = string
  default     = "rotation-policy-"
}
