output "policy_names" {
  description = "The names of the inline policies, by the name of the rotation."
  value       = { for name, stack in aws_cloudformation_stack.policy : name => stack.outputs["PolicyName"] }
}
