"""The synthesized CloudFormation template running on this machine in moto. Start with `local.deploy.deploy`."""
